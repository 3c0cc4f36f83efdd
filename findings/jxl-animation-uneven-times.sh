#!/usr/bin/env bash
# Frames at uneven times (0, 0.1, 0.5 and 1.2 s) as a JPEG XL animation.
#
# Guess: -fps_mode vfr keeps each frame at its time. JPEG XL stores durations, as APNG
# and WebP do, so the encoder takes them from the gaps between the times.
# Seen: libjxl_anim writes the duration each frame states, and frames that a filter
# picked still state 0.1 s: the times read 0, 0.1, 0.2, 0.3, the film is 0.4 s long,
# without a word. APNG, WebP and AVIF keep the times. Encoded from that WebP, whose
# demuxer states true durations, the JPEG XL has the right times as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

run() { "$ffmpeg" -v error -nostdin -y "$@"; }
times() {
    run -copyts -i "$1" -map "0:$2" -fps_mode passthrough -enc_time_base 1/10 -f framecrc - |
        sed -n 's/^0, *[0-9]*, *\([0-9]*\),.*/\1/p' | xargs
}

film=(-f lavfi -i testsrc2=s=96x54:r=10:d=2
    -vf "select=eq(n\\,0)+eq(n\\,1)+eq(n\\,5)+eq(n\\,12)" -fps_mode vfr)
jxl=(-c:v libjxl_anim -f image2pipe)
run "${film[@]}" "$folder/film.apng"
run "${film[@]}" -c:v libwebp_anim "$folder/film.webp"
run "${film[@]}" -pix_fmt yuv420p -c:v libaom-av1 -cpu-used 8 -crf 40 "$folder/film.avif"
run "${film[@]}" "${jxl[@]}" "$folder/film.jxl"
run -i "$folder/film.webp" -fps_mode vfr "${jxl[@]}" "$folder/again.jxl"
echo "guess: 0 1 5 12 (tenths of a second) in each"
for file in film.apng film.webp film.avif again.jxl film.jxl; do
    stream=0
    [ "$file" != film.avif ] || stream=1
    seen=$(times "$folder/$file" "$stream")
    echo "seen:  $file: $seen"
    wanted="0 1 5 12"
    [ "$file" != film.jxl ] || wanted="0 1 2 3"
    [ "$seen" = "$wanted" ]
done
