"""The films that the benchmark works on, made once and kept in a folder.

All are a clip that is repeated without decoding it: the perf clip of the corpus where
there is one (1280x720 H.264, 30 fps, 3.2 Mbit/s), else the sample in the same shape.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.allinone.embedded import SAMPLE
from tests.conftest import ROOT

FILM_SECONDS = 59 * 60 + 22
WINDOW_SECONDS = 30
# What each container's muxer is told: the index of an MP4 stays at its end, as most
# programs write it; Matroska has cues; fragments begin at keyframes.
_MUXERS = {
    "mp4": ["-f", "mp4"],
    "mkv": ["-f", "matroska"],
    "ts": ["-f", "mpegts"],
    "fragmented.mp4": ["-f", "mp4", "-movflags", "+frag_keyframe+empty_moov"],
}
_NAME = re.compile(r"(film|windows|cut|made)(?:-(\w+))?\.(.+)")
# FFmpeg's own moving pictures, for what the film does not show.
_GENERATORS = {
    "chart": "testsrc2=size=640x360:rate=30",
    "fractal": "mandelbrot=size=640x360:rate=30",
    "gradients": "gradients=size=640x360:rate=30:speed=0.03:seed=1:nb_colors=6",
    "life": "life=size=320x180:rate=30:seed=1:mold=10:life_color=#f0d040,scale=640:-2",
    "pan": "smptehdbars=size=1280x360:rate=30,crop=640:360:x=mod(n*6\\,640)",
    "turn": "testsrc=size=640x360:rate=30,rotate=a=t*0.6",
}
_CUT_SECONDS, _MADE_SECONDS = 6, 6
CLIPS = [f"cut-{number}.mp4" for number in range(6)]
CLIPS += [f"made-{name}.mp4" for name in _GENERATORS]


def default_clip() -> Path:
    """Return the perf clip of the corpus where there is one, else the sample."""
    corpus = os.environ.get("FRAMEMILL_TEST_CORPUS", str(ROOT / "../shared/corpus"))
    perf = Path(corpus, "perf", "bbb_720p30_36s.ts")
    return perf if perf.exists() else SAMPLE


@dataclass(frozen=True)
class Inputs:
    """Films in ``folder``, made of ``clip`` by the program ``ffmpeg``.

    ``film.CONTAINER`` is 59:22 long, ``film-SECONDS.CONTAINER`` as long as it says;
    ``windows-N.mp4`` has N windows of 30 seconds that are spread over the film,
    ``cut-N.mp4`` the N-th 6 seconds of the clip, ``made-NAME.mp4`` a generated picture.
    """

    folder: Path
    clip: Path
    ffmpeg: Path

    def path(self, name: str) -> Path:
        """Return the film of that name, and make it where it is missing."""
        found = self.folder / self.clip.stem / name
        if found.exists():
            return found
        parts = _NAME.fullmatch(name)
        if parts is None or parts[3] not in _MUXERS:
            raise ValueError(f"no such film: {name!r}; known are {list(_MUXERS)}")
        kind, number, container = parts.groups()
        if kind == "made":
            return self._made(found, _GENERATORS[number])
        if kind == "windows":
            source = self._windows(int(number))
        elif kind == "cut":
            start = int(number) * _CUT_SECONDS
            source = ["-ss", start, "-i", self._base(), "-t", _CUT_SECONDS]
        elif container == "mp4":
            seconds = number or FILM_SECONDS
            source = ["-stream_loop", -1, "-i", self._base(), "-t", seconds]
        else:
            source = ["-i", self.path(name.replace(container, "mp4"))]
        return self._make(found, [*source, "-c", "copy", *_MUXERS[container]])

    def _windows(self, count: int) -> list[object]:
        film, step = self.path("film.mp4"), FILM_SECONDS / count
        listed = film.with_name("windows.txt")
        listed.write_text(
            "".join(
                f"file '{film}'\ninpoint {i * step:.3f}\n"
                f"outpoint {i * step + WINDOW_SECONDS:.3f}\n"
                for i in range(count)
            )
        )
        return ["-f", "concat", "-safe", "0", "-i", listed]

    def _made(self, found: Path, graph: str) -> Path:
        words = ["-f", "lavfi", "-i", graph, "-t", _MADE_SECONDS, "-c:v", "libx264"]
        words += ["-crf", 18, "-pix_fmt", "yuv420p", *_MUXERS["mp4"]]
        return self._make(found, words)

    def _base(self) -> Path:
        """Return the clip, or one of 36 seconds and 1280x720 made of the sample."""
        if self.clip != SAMPLE:
            return self.clip
        found = self.folder / self.clip.stem / "clip.ts"
        if found.exists():
            return found
        words = ["-stream_loop", 3, "-i", self.clip, "-t", 36, "-vf", "scale=1280:720"]
        words += ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "3M", "-g", 60]
        return self._make(found, [*words, "-c:a", "aac", "-f", "mpegts"])

    def _make(self, found: Path, words: Sequence[object]) -> Path:
        print(f"Making {found} ...", flush=True)
        found.parent.mkdir(parents=True, exist_ok=True)
        fresh = found.with_suffix(".new")
        command = [self.ffmpeg, "-nostdin", "-v", "error", "-y", *words, fresh]
        subprocess.run(list(map(str, command)), check=True)
        return fresh.replace(found)
