#!/usr/bin/env bash
# AV1 pictures written by FFmpeg's image2 muxer as NAME-%d.avif.
#
# Guess: image2 hands each frame to the AVIF muxer, so the files are those that
# -f avif writes: any reader opens them.
# Seen: image2 asks no encoder for a global header, so the AVIF muxer inside has no
# configuration and writes an av1C box of 8 bytes, a head without a record. FFmpeg
# opens such a file, since the sequence header is in the data, too; libavif (Pillow,
# and browsers that use it) refuses it: "BMFF parsing failed". No warning is printed.
# With -flags:v +global_header the box is whole and everybody opens the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check \
    imageio-ffmpeg==0.8.1 pillow==13.0.0
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

write() {
    local name=$1
    shift
    "$ffmpeg" -v warning -nostdin -y -f lavfi -i testsrc2=s=192x108:r=5:d=0.4 \
        -pix_fmt yuv420p -c:v libaom-av1 -crf 30 -cpu-used 6 -usage allintra "$@" "$folder/$name" 2>&1 |
        grep -v -i "svt\|libaom" || true
}
write plain-%d.avif -f image2
write header-%d.avif -f image2 -flags:v +global_header
write single.avif -frames:v 1 -f avif

echo "guess: all three open in FFmpeg and in libavif"
"$folder/env/bin/python" - "$folder" "$ffmpeg" <<'PYTHON'
import subprocess, sys
from pathlib import Path

import PIL
from PIL import Image, features

folder, ffmpeg = Path(sys.argv[1]), sys.argv[2]
print(f"Pillow {PIL.__version__}, libavif {features.version('avif')}")
seen = {}
for name in ("plain-1", "header-1", "single"):
    file = folder / f"{name}.avif"
    data = file.read_bytes()
    place = data.index(b"av1C")
    box = int.from_bytes(data[place - 4 : place], "big")
    by_ffmpeg = subprocess.run(
        [ffmpeg, "-v", "error", "-i", file, "-f", "null", "-"], check=False
    ).returncode
    try:
        Image.open(file).load()
        by_libavif = "opens"
    except OSError as error:
        by_libavif = type(error).__name__
    seen[name] = (box, by_ffmpeg, by_libavif)
    print(f"seen: {name}: av1C of {box} bytes, FFmpeg {by_ffmpeg}, libavif {by_libavif}")
expected = {
    "plain-1": (8, 0, "UnidentifiedImageError"),
    "header-1": (12, 0, "opens"),
    "single": (12, 0, "opens"),
}
sys.exit(seen != expected)
PYTHON
