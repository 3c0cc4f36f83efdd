"""Make an animation that stays under ``max_bytes``, as good as it can be.

The frames are decoded and scaled once, into a lossless master; every trial reads
that. Each trial that fits is compared with the master (SSIM over all frames, after
scaling back), and the best of them is the result.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

import ffmpeg

from common.errors import DecodeError
from worker.media.recipes import movie, search
from worker.media.recipes.formats import FORMATS, PROTOCOLS
from worker.media.recipes.movie import Look
from worker.media.recipes.picture import Box
from worker.media.recipes.plan import Done, Made, Step
from worker.media.recipes.source import argv, number

_MASTER = "master.mkv"
_ALL = re.compile(rb"All:([\d.]+|inf)")
_CAPTURE = 1024 * 1024
_LEAST_SIDE = 16
_LEAST_FPS = 2.0
# Master frames keep what the format can show: 4:2:0 or full colour.
_PIXELS = {"gif": "bgra", "webp": "bgra"}


class Limited(movie.Style, Protocol):
    """A spec with a limit in bytes."""

    @property
    def max_bytes(self) -> int | None:
        """The most bytes that the file may have."""


@dataclass(frozen=True)
class _Trial:
    file: str
    look: Look
    ssim: float


def fit(
    spec: Limited, look: Look, frames: Any, seconds: float, threads: int
) -> Generator[Step, Done, tuple[Made, dict[str, Any]]]:
    """Search for the look that fits; gives the file and what was chosen.

    ``frames`` are drawn at ``look``. Raises CannotFit after six trials, DecodeError
    when no frame came.
    """
    limit = spec.max_bytes or 0
    yield from _master(frames, spec.format, seconds)
    steps = search.ladder(spec.format, look.colors, look.quality)
    hunt = search.search(len(steps), limit)
    trials: list[_Trial] = []
    tried = 0
    place = next(hunt)
    while True:
        tried += 1
        step = _scaled(look, steps[place], spec.format)
        file = movie.file_name(f"trial-{tried}", spec.format)
        size = yield from _encode(file, spec, look, step, seconds, threads)
        if size <= limit:
            ssim = yield from _compare(file, look, seconds)
            trials.append(_Trial(file, step, ssim))
        try:
            place = hunt.send(size)
        except StopIteration:
            break
    best = max(trials, key=lambda trial: trial.ssim)
    details = _details(best, spec.format, tried)
    name = movie.file_name("animation", spec.format)
    return movie.made(best.file, name, spec.format, best.look, None, {}), details


def _details(best: _Trial, kind: str, tried: int) -> dict[str, Any]:
    box = best.look.box
    shared: dict[str, Any] = {
        "trials": tried,
        "ssim": round(best.ssim, 4),
        "fps": best.look.fps,
        "width": box.width,
        "height": box.height,
    }
    if kind == "gif":
        return shared | {"colors": best.look.colors}
    return shared | {"quality": best.look.quality}


def _master(frames: Any, kind: str, seconds: float) -> Generator[Step, Done, None]:
    frames = frames.filter("format", _PIXELS.get(kind, "yuv420p"))
    options = {"c:v": "ffv1", "level": 3, "f": "matroska", "fps_mode": "passthrough"}
    words = argv(ffmpeg.output(frames, _MASTER, an=None, **options))
    done = yield Step(words, seconds=seconds)
    if _MASTER not in done.files:
        raise DecodeError("no frame could be decoded there")


def _read(file: str) -> Any:
    words = {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS}
    return ffmpeg.input(f"file:{file}", **words)["v:0"]


def _scaled(look: Look, step: search.Settings, kind: str) -> Look:
    """Give the look of a step of the ladder; never below 16 pixels or 2 fps."""
    box = look.box
    share = max(step.size, min(1.0, _LEAST_SIDE / min(box.width, box.height)))
    even = 2 if kind in ("avif", "mp4", "webm") else 1
    width = max(even, round(box.width * share / even) * even)
    height = max(even, round(box.height * share / even) * even)
    fps = max(look.fps * step.fps, min(look.fps, _LEAST_FPS))
    small = Box((width, height), width, height)
    return Look(small, round(fps, 3), step.colors, step.quality)


def _encode(
    file: str, spec: Limited, look: Look, step: Look, seconds: float, threads: int
) -> Generator[Step, Done, int]:
    frames = _read(_MASTER)
    if step.fps != look.fps:
        frames = frames.filter("fps", number(step.fps))
    if step.box != look.box:
        size = (step.box.width, step.box.height)
        frames = frames.filter("scale", *size, flags="bicubic")
    words = movie.write(frames, file, spec, step, threads)
    done = yield Step(words, seconds=seconds)
    if file not in done.files:
        raise DecodeError("a trial gave no file")
    return done.files[file].bytes


def _compare(file: str, look: Look, seconds: float) -> Generator[Step, Done, float]:
    """Give the mean SSIM of a trial and the master, at the master's size and rate."""
    size = (look.box.width, look.box.height)
    trial = _read(file).filter("fps", number(look.fps), start_time=0)
    trial = trial.filter("scale", *size, flags="bicubic").filter("format", "yuv420p")
    master = _read(_MASTER).filter("format", "yuv420p")
    compared = ffmpeg.filter([trial, master], "ssim", stats_file="-", shortest=1)
    words = argv(ffmpeg.output(compared, "-", f="null"))
    done = yield Step(words, seconds=seconds, capture=_CAPTURE, tolerant=True)
    found = [float(value) for value in _ALL.findall(done.stdout)]
    finite = [min(value, 1.0) for value in found]
    return sum(finite) / len(finite) if finite else 0.0
