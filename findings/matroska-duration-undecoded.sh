#!/usr/bin/env bash
# The length of a Matroska's video stream, as FFmpeg's library states it after it opened
# the file: as usual, and told to decode no frame meanwhile (skip_frame=all).
#
# Guess: what is decoded can only add facts. The stream's length comes from the header,
# which states one length for all streams, and is there both ways or not at all.
# Seen: the stream has a length only if nothing was decoded, and a start only if something
# was. FFmpeg copies the length of the file to streams whose start it does not know, and
# it learns the start by decoding. So to know more of one is to know less of the other.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 av==18.1.0
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1
for reordered in 0 2; do
    "$ffmpeg" -v error -nostdin -f lavfi -i testsrc2=s=160x90:r=25:d=4 -c:v libx264 \
        -bf "$reordered" "$folder/$reordered.mkv"
done
"$folder/env/bin/python" - "$folder" <<'PYTHON'
import sys

import av

print(f"PyAV {av.__version__}, libavformat {av.library_versions['libavformat']}")
print("guess: the same length of the stream, decoded or not")
seen = {}
for frames in (0, 2):
    for name, options in (("decoded", {}), ("not decoded", {"skip_frame": "all"})):
        with av.open(f"{sys.argv[1]}/{frames}.mkv", options=options) as film:
            video = film.streams.video[0]
            facts = (film.duration, video.duration, video.start_time)
        seen[frames, name] = facts[1:]
        length, start = facts[1:]
        print(f"seen:  {frames} B-frames, {name}: length {length}, start {start}")
decoded, undecoded = (None, 0), (4000, None)
wanted = {
    (frames, name): facts
    for frames in (0, 2)
    for name, facts in (("decoded", decoded), ("not decoded", undecoded))
}
if seen != wanted:
    sys.exit(f"this has changed: {seen}")
PYTHON
