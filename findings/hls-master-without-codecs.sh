#!/usr/bin/env bash
# The master playlist of HLS in fragmented MP4, for four codecs.
#
# Guess: every player asks CODECS whether it can play a variant, so FFmpeg names the
# codec of each, or of none. AV1, whose configuration is simplest to read, has it.
# Seen: H.264, VP9 and HEVC (with the tag hvc1) have CODECS. HEVC without
# that tag and AV1 have none, without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

run() { "$ffmpeg" -v error -nostdin -y "$@"; }
codecs() {
    local name=$1
    shift
    mkdir "$folder/$name"
    run -f lavfi -i testsrc2=s=192x108:r=10:d=2 -pix_fmt yuv420p "$@" -f hls \
        -hls_segment_type fmp4 -master_pl_name master.m3u8 "$folder/$name/film.m3u8"
    sed -n 's/^#EXT-X-STREAM-INF.*CODECS="\([^"]*\)".*/\1/p' "$folder/$name/master.m3u8"
}

quiet=(-c:v libx265 -preset ultrafast -x265-params log-level=error)
h264=$(codecs h264 -c:v libx264)
vp9=$(codecs vp9 -c:v libvpx-vp9 -cpu-used 8)
hvc1=$(codecs hvc1 "${quiet[@]}" -tag:v hvc1)
hevc=$(codecs hevc "${quiet[@]}")
av1=$(codecs av1 -c:v libaom-av1 -cpu-used 8 -crf 40)
echo "guess: CODECS for all five"
echo "seen:  H.264 ${h264:-none}, VP9 ${vp9:-none}, HEVC as hvc1 ${hvc1:-none}"
echo "       HEVC ${hevc:-none}, AV1 ${av1:-none}"
[[ $h264 == avc1.* && $vp9 == vp09.* && $hvc1 == hvc1.* && -z $hevc && -z $av1 ]]
