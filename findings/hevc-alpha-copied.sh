#!/usr/bin/env bash
# HEVC with an alpha layer, copied from MP4 to other containers.
#
# Guess: -c copy moves packets and parameter sets, so each copy decodes as the MP4 does:
# left half opaque, right half transparent. If one fails, then the one that is not MP4.
# Seen: MOV, MP4's own kin, and Matroska lose the parameter sets of the second layer:
# the copy is transparent everywhere, and the decoder prints "PPS id out of range" but
# ends with status 0. MPEG-TS, where the sets go along in the stream, keeps the alpha.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

run() { "$ffmpeg" -v error -nostdin -y "$@"; }
alpha() {
    "$ffmpeg" -v quiet -nostdin -i "$1" -frames:v 1 \
        -vf format=yuva420p,alphaextract,format=gray,scale=2:1:flags=neighbor -f rawvideo - |
        od -An -tu1 | xargs
}

run -f lavfi -i testsrc2=s=192x108:r=10:d=1 \
    -vf "format=yuva420p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='if(lt(X,W/2),255,0)'" \
    -c:v libx265 -x265-params log-level=error:alpha=1 -tag:v hvc1 "$folder/film.mp4"
echo "guess: alpha of the left and right half is 255 0 in each"
for kind in mp4 mov mkv ts; do
    [ "$kind" = mp4 ] || run -i "$folder/film.mp4" -c copy "$folder/film.$kind"
    seen=$(alpha "$folder/film.$kind")
    echo "seen:  $kind: $seen"
    case $kind in
    mp4 | ts) [ "$seen" = "255 0" ] ;;
    *) [ "$seen" = "0 0" ] ;;
    esac
done
