"""Make the best animation that stays under ``max_bytes``.

The frames are decoded and scaled once, into a lossless master that every trial reads.
:mod:`worker.media.recipes.size_limit.search` chooses which settings to try. Each trial
that fits is compared with the master (SSIM over all frames, after scaling back), and
the best of them is the result.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import ffmpeg

from common.errors import DecodeError
from worker.media.ffmpeg.clip import Clip, argv, number
from worker.media.ffmpeg.formats import FORMATS, PROTOCOLS
from worker.media.ffmpeg.plan import Done, FileFacts, Made, Step
from worker.media.recipes.shared import moving, picture
from worker.media.recipes.shared.moving import Rendition
from worker.media.recipes.shared.picture import Box
from worker.media.recipes.size_limit import search

_MASTER = "master.mkv"
_ALL = re.compile(rb"All:([\d.]+|inf)")
_CAPTURE = 1024 * 1024
_LEAST_SIDE = 16
_LEAST_FPS = 2.0
# A chroma plane under eight lines has no block to compare, so "ssim" has no result.
_LEAST_COMPARED = 32
# The master keeps the colours that the format can show: 4:2:0 or full.
_PIXELS = {"gif": "bgra"}


class Limited(moving.Style, Protocol):
    """A spec with a limit in bytes."""

    @property
    def max_bytes(self) -> int | None:
        """Return the most bytes that the file may have."""

    @property
    def background(self) -> str | None:
        """Return the colour behind transparency; None keeps it if the format can."""


@dataclass(frozen=True)
class _Trial:
    """A file that was tried; ``ssim`` is None for one that is too large."""

    file: str
    rendition: Rendition
    dither: str
    bytes: int
    ssim: float | None

    def described(self, kind: str) -> dict[str, Any]:
        """Return its settings, as far as they matter for the format."""
        box, rendition = self.rendition.box, self.rendition
        shared: dict[str, Any] = {
            "fps": rendition.fps,
            "width": box.width,
            "height": box.height,
        }
        if kind == "gif":
            return shared | {"colors": rendition.colors, "dither": self.dither}
        return shared | {"quality": rendition.quality}


def best_trial(
    spec: Limited, rendition: Rendition, timing: moving.Timing, clip: Clip
) -> Generator[Step, Done, tuple[Made, dict[str, Any]]]:
    """Search for settings that fit; return the best file and the details of the search.

    :func:`write_master` drew the frames of ``clip`` as ``rendition`` says. Raises
    CannotFit after six trials, DecodeError if one made no file.
    """
    limit = spec.max_bytes or 0
    seconds = timing.plays
    places = search.search(limit)
    trials: list[_Trial] = []
    place = next(places)
    while True:
        step = search.ladder_step(
            spec.format, place, rendition.colors, rendition.quality
        )
        dither = spec.dither if step.dithered else "none"
        small = _scaled(rendition, step, spec.format, seconds)
        file = moving.file_name(f"trial-{len(trials) + 1}", spec.format)
        done = yield from moving.encode(
            _shrunk(rendition, small),
            file,
            spec,
            small,
            moving.Timing(seconds, seconds),
            clip.threads,
            dither=dither,
        )
        if file not in done.files:
            raise DecodeError("a trial for max_bytes wrote no file")
        facts = done.files[file]
        ssim = None
        if facts.bytes <= limit:
            trial = _as_viewed(file, spec.format, facts, has_alpha=rendition.has_alpha)
            ssim = yield from _ssim(trial, rendition, seconds)
        trials.append(_Trial(file, small, dither, facts.bytes, ssim))
        try:
            place = places.send(facts.bytes)
        except StopIteration:
            break
    best = max(trials, key=lambda trial: -1.0 if trial.ssim is None else trial.ssim)
    name = moving.file_name("animation", spec.format)
    made = moving.made(best.file, name, spec.format, best.rendition, None, {})
    return made, _details(best, trials, spec.format)


def _details(best: _Trial, trials: Sequence[_Trial], kind: str) -> dict[str, Any]:
    """Return what was chosen, and what was tried for it."""
    tried = [
        trial.described(kind) | {"bytes": trial.bytes, "ssim": _rounded(trial.ssim)}
        for trial in trials
    ]
    chosen = best.described(kind)
    return {
        "trials": len(trials),
        "ssim": _rounded(best.ssim),
        **chosen,
        "tried": tried,
    }


def _rounded(ssim: float | None) -> float | None:
    return None if ssim is None else round(ssim, 4)


def write_master(
    frames: Any,
    kind: str,
    rendition: Rendition,
    seconds: float,
    view: moving.SideOutput | None = None,
) -> Generator[Step, Done, Done]:
    """Write the frames lossless, for :func:`best_trial`, and ``view`` beside them.

    Raises DecodeError if no frame could be decoded.
    """
    opaque = _PIXELS.get(kind, "yuv420p")
    frames = frames.filter(
        "format", picture.ALPHA_PIXELS[kind] if rendition.has_alpha else opaque
    )
    options = {"c:v": "ffv1", "level": 3, "f": "matroska", "fps_mode": "passthrough"}
    beside, capture = moving.beside(view)
    words = argv(ffmpeg.output(frames, _MASTER, an=None, **options), *beside)
    done = yield Step(words, seconds, capture)
    if _MASTER not in done.files:
        raise DecodeError("no frame could be decoded for the animation")
    return done


def _open(file: str, **words: Any) -> Any:
    words |= {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS}
    return ffmpeg.input(f"file:{file}", **words)


def _as_viewed(file: str, kind: str, facts: FileFacts, *, has_alpha: bool) -> Any:
    """Return a trial's frames as a viewer sees them.

    An animated AVIF begins with its first frame as a still; its transparency is a
    stream after the colours. FFmpeg's own VP9 decoder ignores transparency.
    """
    if kind != "avif":
        words = {"c:v": "libvpx-vp9"} if kind == "webm" and has_alpha else {}
        return _open(file, **words)["v:0"]
    streams = 2 if has_alpha else 1
    first = streams if (facts.frames or 0) > 1 else 0
    opened = _open(file)
    frames = opened[f"v:{first}"]
    if not has_alpha:
        return frames
    alpha = opened[f"v:{first + 1}"].filter("format", "gray")
    return ffmpeg.filter([frames, alpha], "alphamerge")


def _scaled(
    rendition: Rendition, step: search.LadderStep, kind: str, seconds: float
) -> Rendition:
    """Return the rendition of a ladder step; never below 16 pixels or 2 fps.

    Nor below two frames: a short animation would have none at slower rates.
    """
    box = rendition.box
    share = max(step.size, min(1.0, _LEAST_SIDE / min(box.width, box.height)))
    even = 2 if kind in ("avif", "mp4", "webm") else 1
    width = max(even, round(box.width * share / even) * even)
    height = max(even, round(box.height * share / even) * even)
    least = max(_LEAST_FPS, 2 / seconds)
    fps = max(rendition.fps * step.fps, min(rendition.fps, least))
    small = Box((width, height), width, height)
    return replace(
        rendition,
        box=small,
        fps=round(fps, 3),
        colors=step.colors,
        quality=step.quality,
    )


def _shrunk(rendition: Rendition, small: Rendition) -> Any:
    """Return the master's frames at the rate and size of a trial."""
    frames = _open(_MASTER)["v:0"]
    if small.fps != rendition.fps:
        frames = frames.filter("fps", number(small.fps))
    if small.box != rendition.box:
        size = (small.box.width, small.box.height)
        frames = picture.scale(frames, *size)
    return frames


def _ssim(
    trial: Any, rendition: Rendition, seconds: float
) -> Generator[Step, Done, float]:
    """Return the mean SSIM of a trial and the master, at the master's size and rate.

    Transparent pixels count as black: invisible colours must not matter.
    """
    full = (rendition.box.width, rendition.box.height)
    size = tuple(max(side, _LEAST_COMPARED) for side in full)
    both = [trial, _open(_MASTER)["v:0"]]
    if rendition.has_alpha:
        both = [_on_black(frames) for frames in both]
    # Without a common clock, frames would be compared with their neighbours.
    both = [
        frames.filter("fps", number(rendition.fps), start_time=0) for frames in both
    ]
    both[0] = both[0].filter("scale", *full, flags="bicubic")
    if size != full:
        both = [frames.filter("scale", *size, flags="neighbor") for frames in both]
    both = [frames.filter("format", "yuv420p") for frames in both]
    compared = ffmpeg.filter(both, "ssim", stats_file="-", shortest=1)
    words = argv(ffmpeg.output(compared, "-", f="null"))
    done = yield Step(words, seconds=seconds, capture=_CAPTURE, tolerant=True)
    found = [float(value) for value in _ALL.findall(done.stdout)]
    finite = [min(value, 1.0) for value in found]
    return sum(finite) / len(finite) if finite else 0.0


def _on_black(frames: Any) -> Any:
    return frames.filter("format", "gbrap").filter("premultiply", inplace=1)
