#!/usr/bin/env bash
# Options that need a seek, -ss and -stream_loop, on an animated WebP.
#
# Guess: FFmpeg 9 reads animated WebP as it reads GIF and APNG. A seek that a format
# cannot do falls back on its start, and the frames before the time are decoded and
# thrown away: half of the 40 frames stay, and looped once they are 80.
# Seen: GIF and APNG do so. From the WebP, -ss gives no frame at all and -stream_loop
# plays once, both with status 0 and no error. As an output option, -ss works.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

run() { "$ffmpeg" -v error -nostdin -y "$@"; }
frames() { run "$@" -f framecrc - | grep -c '^0,' || true; }

film=(-f lavfi -i testsrc2=s=192x108:r=10:d=4)
"$ffmpeg" -v fatal -nostdin "${film[@]}" "$folder/film.gif" 2>"$folder/notices"
run "${film[@]}" "$folder/film.apng"
run "${film[@]}" -c:v libwebp_anim "$folder/film.webp"
echo "guess: 20 frames after 2 s of 4 s, and 80 looped"
for name in gif apng webp; do
    file=$folder/film.$name
    seen="$(frames -ss 2 -i "$file") $(frames -i "$file" -ss 2) $(frames -stream_loop 1 -i "$file")"
    echo "seen:  $name: input -ss, output -ss, looped: $seen"
    wanted="20 20 80"
    [ "$name" != webp ] || wanted="0 20 40"
    [ "$seen" = "$wanted" ]
done
