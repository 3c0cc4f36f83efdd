#!/usr/bin/env bash
# A raw MPEG-1 stream without B-frames, its packet times against its frame times.
#
# Guess: a raw stream has no clock, so FFmpeg counts: packets and decoded frames have the
# same times, 0, 0.04, 0.08 s, and 50 frames of 25 a second end at 2.00 s by either.
# Seen: no frame is late, and yet the packets' times are those of a stream with reordered
# frames: the first is at 0, the second at 0.08, and the last ends at 2.04 s. In MPEG-2
# the first is late, too. The decoded frames are at 0, 0.04, 0.08 in both. So whoever
# takes length and rate from packets says 2.04 s and 24.5.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 av==18.1.0
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

seen=""
for codec in mpeg1video mpeg2video; do
    "$ffmpeg" -v error -nostdin -y -f lavfi -i testsrc2=s=64x48:r=25:d=2 \
        -c:v "$codec" -bf 0 -f "$codec" "$folder/$codec"
    packets=$("$folder/env/bin/python" -c 'import sys, av
with av.open(sys.argv[1]) as film:
    found = [one for one in film.demux(video=0) if one.size]
    step = found[0].duration
    print(*(one.pts // step for one in found[:3]), found[-1].pts // step + 1)' "$folder/$codec")
    frames=$("$ffmpeg" -v error -i "$folder/$codec" -fps_mode passthrough -f framecrc - |
        awk -F, '/^0/ { n++; if (n <= 3) printf "%d ", $3; last = $3 + 1 } END { print last }')
    seen="$seen$codec: packets $packets, frames $frames; "
done
echo "guess: 0 1 2 and an end at 50, of packets and frames alike"
echo "seen:  $seen"
[ "$seen" = "mpeg1video: packets 0 2 3 51, frames 0 1 2 50; mpeg2video: packets 1 2 3 51, frames 0 1 2 50; " ]
