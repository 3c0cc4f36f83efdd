#!/usr/bin/env bash
# An animated WebP by FFmpeg's encoder libwebp, which leaves out blocks that did not
# change (-cr_threshold), over a still of smooth colours that a faint square crosses.
#
# Guess: a block is drawn again or not, and both ways it is as right as in a file whose
# every frame is drawn whole. Its border lies on the 16 pixels of a macroblock, so no
# edge can show.
# Seen: coloured lines around the blocks. The squares that are left out are transparent,
# libwebp gives each 8 x 8 of them one colour, and the decoder mixes it into the last
# line of the square beside it when it enlarges the colour planes. A lower threshold
# moves the lines; an odd -cr_size, whose borders no longer meet that grid, avoids them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 pillow==13.0.0
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

run() { "$ffmpeg" -v error -nostdin -y "$@"; }
still="color=s=320x180:r=10,format=yuv444p,trim=end_frame=1"
still+=",geq=lum=110+X/8:cb=128+90*sin(X/30+Y/50):cr=128+90*cos(X/40-Y/30),loop=9:1"
square="color=black@0.1:s=30x30:r=10,format=yuva444p"
film="$still[a];$square[b];[a][b]overlay=x=20+100*t:y=20+60*t:shortest=1,format=yuv420p"
run -f lavfi -i "$film" "$folder/film-%02d.png"
encode() {
    local name=$1
    shift
    run -f lavfi -i "$film" -c:v libwebp -quality 95 "$@" "$folder/$name.webp"
}
encode whole
encode blocks -cr_threshold 512 -cr_size 16
encode odd -cr_threshold 512 -cr_size 41
"$folder/env/bin/python" - "$folder" <<'PYTHON'
import sys

import PIL
from PIL import Image, ImageChops, ImageFilter, ImageSequence

folder = sys.argv[1]
print(f"Pillow {PIL.__version__}")
print("guess: the error of a line exceeds that of its neighbours equally in all three")


def line(error):
    """Return by how many levels the error of a line exceeds that beside it."""
    found = 0
    for turned in (error, error.transpose(Image.Transpose.TRANSPOSE)):
        lines = turned.resize((turned.width, turned.height // 15), Image.Resampling.BOX)
        over = ImageChops.subtract(lines, lines.filter(ImageFilter.MedianFilter(5)))
        found = max(found, *(most for _, most in over.getextrema()))
    return found


films = [Image.open(f"{folder}/film-{n:02d}.png").convert("RGB") for n in range(1, 11)]
seen = {}
for name in ("whole", "blocks", "odd"):
    with Image.open(f"{folder}/{name}.webp") as made:
        shown = [frame.convert("RGB") for frame in ImageSequence.Iterator(made)]
    seen[name] = max(line(ImageChops.difference(a, b)) for a, b in zip(shown, films))
    print(f"seen:  {name}: {len(shown)} frames, {seen[name]} levels")
sys.exit(not (seen["blocks"] > 2 * max(seen["whole"], seen["odd"])))
PYTHON
