#!/usr/bin/env bash
# A fragmented MP4 of a minute with an index of its fragments (mfra), opened by FFmpeg
# with and without -use_mfra_for pts, which lets it use that index.
#
# Guess: the index saves the visit of each fragment, and nothing else changes: it lists
# the last fragment, so the length of the film is known as well as before.
# Seen: FFmpeg states the length of the fragments that it read to open the file, three
# seconds, as the length of the film and of its streams, without a warning, and a bit
# rate that is twenty times too high. Seeks beyond that length work. A caller that limits
# itself to the stated length, or takes shares of it, sees the first seconds alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 av==18.1.0
ffmpeg=$("$folder/env/bin/python" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
"$ffmpeg" -version | head -1
"$ffmpeg" -v error -nostdin -f lavfi -i testsrc2=s=160x90:r=10:d=60 \
    -f lavfi -i sine=duration=60 -c:v libx264 -preset ultrafast -g 10 -c:a aac \
    -movflags frag_keyframe+empty_moov "$folder/film.mp4"
"$folder/env/bin/python" - "$folder/film.mp4" <<'PYTHON'
import sys

import av

print(f"PyAV {av.__version__}")
print("guess: 60 s by both ways")
seen = {}
for name, options in (("visited", {}), ("by index", {"use_mfra_for": "pts"})):
    with av.open(sys.argv[1], options=options) as film:
        video = film.streams.video[0]
        stated = [film.duration / 1e6, float(video.duration * video.time_base)]
        film.seek(50_000_000)
        found = float(next(film.demux(video)).pts * video.time_base)
        rate = film.bit_rate
    seen[name] = [round(one) for one in (*stated, found)]
    print(f"seen:  {name}: {stated[0]:.2f} s, {rate} bit/s; at 50 s: {found:.2f}")
if seen != {"visited": [60, 60, 49], "by index": [3, 3, 49]}:
    sys.exit(f"this has changed: {seen}")
PYTHON
# Without an output it only describes the file, and ends with status 1.
{ "$ffmpeg" -hide_banner -nostdin -use_mfra_for pts -i "$folder/film.mp4" || true; } 2>&1 |
    grep "Duration: 00:00:03" || { echo "this has changed: FFmpeg's own line"; exit 1; }
