"""The recipe of one contiguous animation: GIF, WebP, AVIF, MP4 or WebM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from common.errors import DecodeError, SeekPastEnd
from common.specs import AnimationSpec
from common.times import parse_time
from worker.media.recipes import fitting, gif, movie, picture, standin
from worker.media.recipes import warnings as codes
from worker.media.recipes.movie import Look
from worker.media.recipes.plan import Plan, Rung, RungRun
from worker.media.recipes.source import Clip
from worker.media.recipes.stretch import Stretch, sample, stillness

_DEFAULT_SECONDS = 5.0
_LONGEST = 30.0
_EARLY_SECONDS = 20.0


@dataclass(frozen=True)
class Window:
    """A stretch of the clip: ``start`` on its clock, ``length`` in seconds."""

    start: float
    length: float
    warnings: tuple[str, ...] = ()


def window(spec: AnimationSpec, clip: Clip) -> Window:
    """Find the stretch that was asked, moved back or cut so that it fits.

    Raises SeekPastEnd when ``end`` does not come after ``start``.
    """
    start = clip.at(spec.start)
    length = _DEFAULT_SECONDS if spec.duration is None else spec.duration
    if spec.end is not None:
        length = clip.at(spec.end) - start
        if length <= 0:
            raise SeekPastEnd(
                f"end ({spec.end}) does not come after start ({spec.start}) "
                "in this video",
                pointer="/end",
                hint="give both as shares or both in seconds",
            )
    length = min(length, _LONGEST)
    if clip.end is None:
        return Window(start, length)
    return _fitted(spec, clip, start, length, clip.end)


def _fitted(
    spec: AnimationSpec, clip: Clip, start: float, length: float, end: float
) -> Window:
    # A stated end that lies after the video's moves no start back.
    held = spec.end is not None and clip.begin <= start < end
    room = max(end - (start if held else clip.begin), clip.frame_seconds)
    asked = spec.duration is not None or spec.end is not None
    warnings = []
    if clip.video.frames == 1:
        warnings.append(codes.SINGLE_FRAME)
    elif asked and length > room + clip.frame_seconds:
        warnings.append(codes.SHORTER)
    length = min(length, room)
    moved = max(clip.begin, min(start, end - length))
    if clip.is_past_end(start):
        warnings.append(codes.TIME_PAST_END)
    elif start - moved > clip.frame_seconds and not parse_time(spec.start)[1]:
        warnings.append(codes.START_MOVED)
    return Window(moved, length, tuple(warnings))


def plan(
    spec: AnimationSpec, clip: Clip, _part: Any = None, _parts: Sequence[Any] = ()
) -> Plan:
    """Give the rungs for an animation spec; parts are not used.

    Raises NoVideoStream. The rung of a window that is none raises SeekPastEnd.
    """
    canvas = standin.of_animation(spec)
    seconds = _DEFAULT_SECONDS if spec.duration is None else spec.duration

    def show(drawn: Any) -> RungRun:
        return standin.held(drawn, "animation", spec, seconds, clip.threads)

    frames = partial(_of_frames, spec, clip)
    return standin.plan(spec.fallback, clip, frames, canvas, show)


def _of_frames(spec: AnimationSpec, clip: Clip) -> Plan:
    stretch = window(spec, clip)
    mapped, clipped = picture.colour_warnings(clip)
    start = replace(stretch, start=clip.begin)
    best = _Shooting(spec, clip, stretch)
    plain = replace(best, plain=True)
    early = replace(best, early=_EARLY_SECONDS)
    first = replace(best, stretch=start, early=float("inf"), plain=True)
    rungs = []
    if movie.optimizes(spec):
        rungs.append(Rung("optimized", partial(gif.optimized, best.make), mapped))
        mapped = (*mapped, codes.NOT_OPTIMIZED)
    rungs += [
        Rung("seek", best.make, mapped),
        Rung("seek_plain", plain.make, clipped),
        Rung("seek_early", early.make, mapped),
        Rung("from_start", first.make, (codes.START_MOVED, *clipped)),
    ]
    reduced = (codes.FPS_REDUCED,) if best.look.fps < spec.fps else ()
    return Plan(tuple(rungs), stretch.warnings + reduced)


@dataclass(frozen=True)
class _Shooting:
    """One way to make the animation of a stretch."""

    spec: AnimationSpec
    clip: Clip
    stretch: Window
    plain: bool = False
    early: float = 0.0

    @property
    def look(self) -> Look:
        """Give the look that was asked for."""
        spec, video = self.spec, self.clip.video
        even = picture.is_even(spec.format)
        size = (video.width, video.height)
        box = picture.fit(size, spec, movie.DEFAULT_WIDTH, even=even)
        fps = spec.fps
        if spec.boomerang:
            fps = movie.fps_within_memory(spec.fps, box, self.seconds)
        return Look(box, fps, spec.colors, spec.quality)

    @property
    def seconds(self) -> float:
        """Give how long the animation plays, one way."""
        return self.stretch.length / self.spec.speed

    def sampled(self, look: Look) -> Any:
        """Give the drawn frames at the look's rate."""
        clip, spec = self.clip, self.spec
        frames = sample(
            clip,
            self._window,
            look.fps,
            speed=spec.speed,
            early=self.early,
        )
        frames = picture.draw(
            frames,
            clip,
            look.box,
            spec.format,
            background=spec.background,
            plain=self.plain,
        )
        return movie.boomerang(frames) if spec.boomerang else frames

    def make(self) -> RungRun:
        """Make the file, or search for one that fits ``max_bytes``."""
        spec = self.spec
        look = self.look
        frames = self.sampled(look)
        plays = self.seconds * (2 if spec.boomerang else 1)
        read = self.stretch.length + min(self.early, _EARLY_SECONDS)
        span = movie.Span(read, plays)
        still = yield from stillness(self.clip, self._window)
        if spec.max_bytes is not None:
            made, trial = yield from fitting.fit(spec, look, frames, span, self.clip)
            return [replace(made, time=self._time, details=trial, warnings=still)]
        file = movie.file_name("animation", spec.format)
        threads = self.clip.threads
        done = yield from movie.encode(frames, file, spec, look, span, threads)
        if file not in done.files:
            raise DecodeError("no frame could be decoded there")
        details = {} if look.fps == spec.fps else {"fps": look.fps}
        made = movie.made(file, file, spec.format, look, self._time, details)
        return [replace(made, warnings=still)]

    @property
    def _window(self) -> Stretch:
        return Stretch(self.stretch.start, self.stretch.length)

    @property
    def _time(self) -> float:
        return round(self.stretch.start, 3)
