#!/usr/bin/env bash
# The colour options of an output: -colorspace, -color_primaries and -color_trc.
#
# Guess: they are three sisters of one encoder context, so all three arrive in the file.
# Seen: -colorspace alone arrives. Primaries and transfer are "unknown" in the file, and
# nothing is printed: a film meant as HDR (PQ, BT.2020) is none. The filter setparams,
# which writes all three on the frames, brings them into the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1

run() { "$ffmpeg" -v error -nostdin -y "$@"; }
colours() {
    "$ffmpeg" -hide_banner -nostdin -i "$1" 2>&1 |
        sed -n 's/.*yuv420p(\([^)]*\)).*/\1/p' | head -1 || true
}

film=(-f lavfi -i testsrc2=s=192x108:r=10:d=1 -c:v libx264)
warning=$("$ffmpeg" -v warning -nostdin -y "${film[@]}" -pix_fmt yuv420p -colorspace bt2020nc \
    -color_primaries bt2020 -color_trc smpte2084 "$folder/options.mp4" 2>&1 |
    grep -i -E "primaries|trc|transfer" || true)
run "${film[@]}" -vf \
    format=yuv420p,setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084 \
    "$folder/filter.mp4"
options=$(colours "$folder/options.mp4")
filter=$(colours "$folder/filter.mp4")
echo "guess: tv, bt2020nc/bt2020/smpte2084 from both"
echo "seen:  options    $options, warnings: ${warning:-none}"
echo "       setparams  $filter"
[ -z "$warning" ]
[[ $options == "tv, bt2020nc/unknown/unknown"* ]]
[[ $filter == "tv, bt2020nc/bt2020/smpte2084"* ]]
