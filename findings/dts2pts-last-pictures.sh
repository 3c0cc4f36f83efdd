#!/usr/bin/env bash
# The bitstream filter dts2pts, at the end of an AVI of H.264 with B-frames.
#
# Guess: AVI stores no times, so the filter takes each picture's place from its slices;
# 192 pictures at 24 fps get 192 times, one frame apart, the last ones by going on.
# Seen: the last pictures wait for packets that never come. They get times of others:
# 190 different ones, and the film ends two frames early (a reader of packets, PyAV,
# sees even times two seconds back, before the packet's own decoding time).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 av==18.1.0
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

"$ffmpeg" -v error -nostdin -f lavfi -i testsrc2=s=192x108:r=24:d=8 -c:v libx264 \
    -preset veryfast -g 50 -keyint_min 50 -sc_threshold 0 -pix_fmt yuv420p "$folder/film.avi"
"$ffmpeg" -v error -nostdin -i "$folder/film.avi" -c copy -bsf:v dts2pts -f framecrc - |
    grep -v '^#' | awk -F', *' '{print $3}' >"$folder/times"
cat >"$folder/read.py" <<'PYTHON'
import sys

import av
from av.bitstream import BitStreamFilterContext

with av.open(sys.argv[1]) as film:
    film.flags &= ~av.container.Flags.gen_pts.value
    stream = film.streams.video[0]
    timing = BitStreamFilterContext("dts2pts", stream)
    packets = []
    for packet in film.demux(stream):
        packets += timing.filter(packet if packet.size else None)
print(sum(packet.pts < packet.dts for packet in packets))
PYTHON
all=$(wc -l <"$folder/times")
different=$(sort -u "$folder/times" | wc -l)
early=$("$folder/env/bin/python" "$folder/read.py" "$folder/film.avi")
echo "guess: 192 packets, 192 times, none before its decoding"
echo "seen:  $all packets, $different times; PyAV: $early before their decoding"
[ "$all" -eq 192 ]
[ "$different" -lt 192 ]
[ "$early" -gt 0 ]
