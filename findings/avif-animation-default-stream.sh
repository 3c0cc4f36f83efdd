#!/usr/bin/env bash
# An animated AVIF written by FFmpeg, read by FFmpeg without -map.
#
# Guess: what the AVIF muxer writes as an animation comes back as one: 40 frames of 4 s,
# since of two streams of one size the one with more frames, or more data, is chosen.
# Seen: the file holds its first frame as a still, too, and the still is the first
# stream. FFmpeg takes the still: 1 frame, status 0, and with -ss 2 none. With -map 0:1
# the film is there. Pillow (libavif) sees the 40 frames in the same file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 pillow==13.0.0
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

run() { "$ffmpeg" -v error -nostdin -y "$@"; }
frames() { run "$@" -f framecrc - | grep -c '^0,' || true; }

run -f lavfi -i testsrc2=s=192x108:r=10:d=4 -pix_fmt yuv420p -c:v libaom-av1 -cpu-used 8 \
    -crf 40 "$folder/film.avif"
pillow=$("$folder/env/bin/python" -c 'import sys, PIL
from PIL import Image
print(PIL.__version__, Image.open(sys.argv[1]).n_frames)' "$folder/film.avif")
seen="$(frames -i "$folder/film.avif") $(frames -ss 2 -i "$folder/film.avif")"
mapped=$(frames -i "$folder/film.avif" -map 0:1)
echo "guess: 40 frames, 20 after 2 s; Pillow ${pillow% *} 40"
echo "seen:  frames and frames after 2 s: $seen, with -map 0:1 $mapped; Pillow ${pillow#* }"
[ "$seen" = "1 0" ]
[ "$mapped" -eq 40 ]
[ "${pillow#* }" -eq 40 ]
