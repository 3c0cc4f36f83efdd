"""Plan one contiguous animation: GIF, WebP, AVIF, MP4 or WebM."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from common.errors import DecodeError, SeekPastEnd
from common.outputs.specs import AUTO, AnimationSpec
from common.outputs.times import parse_time
from worker.media import warning_codes
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Alternative, Done, Plan, Step, StepRun
from worker.media.recipes.best_frame import content, start_search, subject
from worker.media.recipes.best_frame.content import Content
from worker.media.recipes.shared import (
    cost,
    fallback,
    framing,
    gif,
    moving,
    picture,
)
from worker.media.recipes.shared.moving import Rendition
from worker.media.recipes.shared.span import Span, frames_of, sample, stillness
from worker.media.recipes.size_limit import fit

# Where "auto" starts unless there is nothing to see.
_USUAL_START = "10%"
_DEFAULT_SECONDS = 5.0
_LONGEST = 30.0
_EARLY_SECONDS = 20.0
# Where in the span to look for what a smart crop keeps.
_LOOKS = (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class RequestedSpan(Span):
    """The span to show, and the warnings about how it differs from the spec."""

    warnings: tuple[str, ...] = ()


def requested_span(spec: AnimationSpec, clip: Clip) -> RequestedSpan:
    """Return the requested span, moved back or shortened to fit into the video.

    Raises SeekPastEnd if ``end`` does not come after ``start``.
    """
    start = clip.at(_usual(spec.start))
    length = _DEFAULT_SECONDS if spec.duration is None else spec.duration
    if spec.end is not None:
        length = clip.at(spec.end) - start
        if length <= 0:
            raise SeekPastEnd(
                f"end ({spec.end}) does not come after start ({spec.start}) "
                "in this video",
                pointer="/end",
                hint="give both as percentages or both in seconds",
            )
    length = min(length, _LONGEST)
    if clip.end is None:
        return RequestedSpan(start, length)
    return _fitted(spec, clip, start, length, clip.end)


def _usual(start: float | str) -> float | str:
    return _USUAL_START if start == AUTO else start


def _fitted(
    spec: AnimationSpec, clip: Clip, start: float, length: float, end: float
) -> RequestedSpan:
    # An end in the spec that is after the video's does not move the start back.
    keeps_start = spec.end is not None and clip.begin <= start < end
    room = max(end - (start if keeps_start else clip.begin), clip.frame_seconds)
    requested = spec.duration is not None or spec.end is not None
    warnings = []
    if clip.video.frames == 1:
        warnings.append(warning_codes.SINGLE_FRAME)
    elif requested and length > room + clip.frame_seconds:
        warnings.append(warning_codes.SHORTER)
    length = min(length, room)
    moved = max(clip.begin, min(start, end - length))
    if clip.is_past_end(start):
        warnings.append(warning_codes.TIME_PAST_END)
    elif start - moved > clip.frame_seconds and not parse_time(_usual(spec.start))[1]:
        warnings.append(warning_codes.START_MOVED)
    return RequestedSpan(moved, length, tuple(warnings))


def plan(
    spec: AnimationSpec, clip: Clip, _part: Any = None, _parts: Sequence[Any] = ()
) -> Plan:
    """Return the alternatives for an animation spec; parts are not used.

    Raises NoVideoStream. If ``end`` does not come after ``start``, the alternative that
    would show frames raises SeekPastEnd.
    """
    canvas = fallback.animation_canvas(spec)
    seconds = _DEFAULT_SECONDS if spec.duration is None else spec.duration

    def show(drawn: Any) -> StepRun:
        return fallback.still_animation(drawn, "animation", spec, seconds, clip.threads)

    frames = partial(framing.plan, spec, clip, partial(_of_frames, spec))
    return fallback.plan(spec.fallback, clip, frames, canvas, show)


def _of_frames(spec: AnimationSpec, clip: Clip) -> Plan:
    span = requested_span(spec, clip)
    mapped, clipped = picture.colour_warnings(clip)
    start = replace(span, start=clip.begin)
    best = _AnimationRun(spec, clip, span, searches=spec.start == AUTO)
    plain = replace(best, plain=True)
    early = replace(best, early=_EARLY_SECONDS)
    first = _AnimationRun(spec, clip, start, plain=True, early=float("inf"))
    alternatives = []
    if moving.optimizes(spec):
        alternatives.append(
            Alternative("optimized", partial(gif.optimized, best.make), mapped)
        )
        mapped = (*mapped, warning_codes.NOT_OPTIMIZED)
    alternatives += [
        Alternative("seek", best.make, mapped),
        Alternative("seek_plain", plain.make, clipped),
        Alternative("seek_early", early.make, mapped),
        Alternative("from_start", first.make, (warning_codes.START_MOVED, *clipped)),
    ]
    reduced = (warning_codes.FPS_REDUCED,) if best.rendition.fps < spec.fps else ()
    return Plan(tuple(alternatives), span.warnings + reduced)


@dataclass(frozen=True)
class _AnimationRun:
    """One way to make the animation of a span.

    ``searches`` allows another span if this one is poor. ``passed_over`` lists the
    spans that were poor, as the document shows them.
    """

    spec: AnimationSpec
    clip: Clip
    span: RequestedSpan
    plain: bool = False
    early: float = 0.0
    searches: bool = False
    passed_over: tuple[dict[str, Any], ...] = field(default=())

    @property
    def rendition(self) -> Rendition:
        """Return the size, rate and quality that the spec asks for."""
        spec, video = self.spec, self.clip.video
        even = picture.is_even(spec.format)
        size = (video.width, video.height)
        box = picture.fit(size, spec, moving.DEFAULT_WIDTH, even=even)
        fps = cost.rate(
            spec.fps,
            spec.format,
            box,
            self.timing.plays,
            stored=spec.max_bytes is not None,
        )
        if spec.boomerang:
            fps = moving.fps_within_memory(fps, box, self.seconds)
        has_alpha = picture.keeps_alpha(self.clip, spec.format, spec.background)
        return Rendition(box, fps, spec.colors, spec.quality, has_alpha=has_alpha)

    @property
    def seconds(self) -> float:
        """Return how long the animation plays in one direction."""
        return self.span.length / self.spec.speed

    @property
    def timing(self) -> moving.Timing:
        """Return how long a run reads, and how long the animation plays."""
        plays = self.seconds * (2 if self.spec.boomerang else 1)
        return moving.Timing(self.span.length + min(self.early, _EARLY_SECONDS), plays)

    @property
    def file(self) -> str:
        """Return the name of the file."""
        return moving.file_name("animation", self.spec.format)

    def sampled(self, rendition: Rendition) -> tuple[Any, moving.SideOutput | None]:
        """Return the drawn frames at the rate, and an output of a few as samples."""
        clip, spec = self.clip, self.spec
        frames = sample(
            clip,
            self.span,
            rendition.fps,
            speed=spec.speed,
            early=self.early,
            width=rendition.box.scaled[0],
        )
        frames = picture.draw(
            frames,
            clip,
            rendition.box,
            spec.format,
            background=spec.background,
            plain=self.plain,
        )
        count = frames_of(clip, self.seconds, rendition.fps)
        has_alpha = picture.keeps_alpha(clip, spec.format, spec.background)
        frames, view = content.view(frames, count, rendition.box.width, alpha=has_alpha)
        return moving.boomerang(frames) if spec.boomerang else frames, view

    def make(self) -> StepRun:
        """Make the file of the span, or of a better one if it is poor."""
        first = yield from self.aimed()
        shown = yield from first.draw()
        if not (first.searches and shown.poor):
            return (yield from first.finish(shown))
        length = first.span.length
        starts = yield from start_search.find(first.clip, length, shown)
        best, last = (first, shown), first
        for start in starts:
            last = yield from best[0].instead(start, best[1]).aimed()
            another = yield from last.draw()
            if another.badness < best[1].badness:
                best = (last, another)
            if not best[1].poor:
                break
        chosen, shown = best
        if chosen is not last:
            shown = yield from chosen.draw()
        return (yield from chosen.finish(shown))

    def aimed(self) -> Generator[Step, Done, _AnimationRun]:
        """Return the run whose crop keeps what the spec says, in all of the span."""
        times = [self.span.start + self.span.length * one for one in _LOOKS]
        box, gravity = self.rendition.box, self.spec.gravity
        clip = yield from subject.aimed(self.clip, gravity, box, times)
        return replace(self, clip=clip)

    def instead(self, start: float, shown: Content) -> _AnimationRun:
        """Return the run that starts at ``start``, and record why."""
        left = {"start": self._time, "warnings": list(shown.warnings)}
        span = replace(self.span, start=start)
        passed_over = (*self.passed_over, left)
        return replace(self, span=span, passed_over=passed_over)

    def draw(self) -> Generator[Step, Done, Content]:
        """Write the file (or the master for ``max_bytes``) and judge its content.

        Raises DecodeError if no frame could be decoded.
        """
        spec, rendition, timing = self.spec, self.rendition, self.timing
        frames, view = self.sampled(rendition)
        if spec.max_bytes is not None:
            done = yield from fit.write_master(
                frames, spec.format, rendition, timing.read, view
            )
        else:
            threads = self.clip.threads
            done = yield from moving.encode(
                frames, self.file, spec, rendition, timing, threads, view=view
            )
            if self.file not in done.files:
                raise DecodeError("no frame of that span could be decoded")
        if self.clip.video.frames == 1:
            return Content()
        return content.read(content.samples(done, rendition.box.width))

    def finish(self, shown: Content) -> StepRun:
        """Describe the drawn file, or search for one within ``max_bytes``."""
        spec, rendition = self.spec, self.rendition
        details: dict[str, Any] = {"start": self._time, "end": self._end}
        if spec.start == AUTO:
            details["passed_over"] = list(self.passed_over)
        if spec.max_bytes is not None:
            made, trial = yield from fit.best_trial(
                spec, rendition, self.timing, self.clip
            )
            made = replace(made, time=self._time, details=details | trial)
        else:
            if rendition.fps != spec.fps:
                details["fps"] = rendition.fps
            file = self.file
            made = moving.made(file, file, spec.format, rendition, self._time, details)
        still = yield from stillness(self.clip, self.span)
        shows = (
            code for code in shown.warnings if not still or code != warning_codes.FROZEN
        )
        notes = (*still, *shows)
        return [replace(made, warnings=notes, focus=self.clip.focus)]

    @property
    def _time(self) -> float:
        return round(self.span.start, 3)

    @property
    def _end(self) -> float:
        return round(self.span.end, 3)
