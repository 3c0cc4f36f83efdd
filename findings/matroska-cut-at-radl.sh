#!/usr/bin/env bash
# A plain copy that cuts HEVC before a key frame with RADL pictures, to Matroska.
#
# Guess: the pictures that lead the key frame are shown before it, so the muxer moves
# all times up until none is negative (avoid_negative_ts), as its MP4 sister does with
# an edit list; or it leaves those pictures out.
# Seen: the muxer looks at the first packet alone, which is the key frame's. It writes
# the leading pictures with negative times, its own reader states none for them, and
# the decoder counts on from 0: the film's first two times come twice, and a seek to
# 0.04 s has two answers. With -copyts the same cut keeps all times apart.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

run() { "$ffmpeg" -v error -nostdin -y "$@"; }
times() {
    "$ffmpeg" -hide_banner -nostdin -copyts -i "$1" -fps_mode passthrough \
        -vf showinfo=checksum=0 -f null - 2>&1 |
        sed -n 's/.* pts_time:\([-0-9.]*\) .*/\1/p' | sed -n 1,6p | tr "\n" " "
}

run -f lavfi -i testsrc2=s=192x108:r=25:d=8 -c:v libx265 -preset ultrafast \
    -x265-params log-level=error:open-gop=0:radl=2:keyint=50:min-keyint=50:bframes=4:scenecut=0 \
    "$folder/whole.mp4"
run -ss 4 -i "$folder/whole.mp4" -c copy "$folder/cut.mkv"
run -ss 4 -i "$folder/whole.mp4" -c copy -copyts "$folder/kept.mkv"
run -ss 4 -i "$folder/whole.mp4" -c copy "$folder/cut.mp4"

echo "guess: times rise in each file"
cut=$(times "$folder/cut.mkv")
kept=$(times "$folder/kept.mkv")
mp4=$(times "$folder/cut.mp4")
echo "seen:  cut.mkv   $cut"
echo "       kept.mkv  $kept (-copyts)"
echo "       cut.mp4   $mp4"
[ "$cut" = "0 0.04 0 0.04 0.08 0.12 " ]
rises() { tr " " "\n" <<<"${1% }" | sort -n -u | wc -l; }
[ "$(rises "$kept")" -eq 6 ]
[ "$(rises "$mp4")" -eq 6 ]
