#!/usr/bin/env bash
# A slow fade of 90 frames as an animated WebP, by FFmpeg's two encoders of WebP.
#
# Guess: libwebp_anim is the one for animations. It loses quality, not frames: a frame
# may be merged with the one before only if both are equal, and here all 90 differ.
# Seen: libwebp_anim lets libwebp's animation encoder merge frames that are near enough
# at this quality: 20 of 90 stay, shown for up to 0.17 s each, and the fade stutters.
# At -quality 100 it still drops some. The encoder of stills, libwebp, writes all 90
# through the same muxer once cr_threshold is set.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 pillow==13.0.0
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

run() { "$ffmpeg" -v error -nostdin -y "$@"; }
fade() {
    local name=$1
    shift
    run -f lavfi -i color=gray:s=192x108:r=30:d=3,fade=in:0:90 -pix_fmt yuv420p \
        "$@" "$folder/$name.webp"
}
differ=$(run -f lavfi -i color=gray:s=192x108:r=30:d=3,fade=in:0:90 -pix_fmt yuv420p -f framecrc - |
    grep '^0' | sed 's/.*,//' | sort -u | wc -l)
fade anim-75 -c:v libwebp_anim -quality 75
fade anim-100 -c:v libwebp_anim -quality 100
fade still-75 -c:v libwebp -quality 75 -cr_threshold 1000
echo "frames that differ in the film: $differ"
echo "guess: as many in each file"
"$folder/env/bin/python" - "$folder" "$differ" <<'PYTHON'
import sys

import PIL
from PIL import Image

folder, differ = sys.argv[1], int(sys.argv[2])
print(f"Pillow {PIL.__version__}")
seen = {}
for name in ("anim-75", "anim-100", "still-75"):
    with Image.open(f"{folder}/{name}.webp") as film:
        seen[name] = film.n_frames
    print(f"seen:  {name}: {seen[name]} frames")
sys.exit(not (seen["anim-75"] < differ / 2 and seen["anim-100"] < differ <= seen["still-75"]))
PYTHON
