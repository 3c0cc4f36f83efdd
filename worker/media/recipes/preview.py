"""Plan hover previews: short segments of the whole video, one after another.

Each segment is reached by a seek. Several are decoded in one process and stored small
and lossless; the last step joins and encodes them. Each decoder holds its own frames,
so the frame size decides how many inputs a process opens.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ffmpeg

from common.errors import DecodeError
from common.outputs.specs import PreviewSpec
from worker.media import warning_codes
from worker.media.ffmpeg.clip import Clip, argv, number
from worker.media.ffmpeg.formats import FORMATS, PROTOCOLS
from worker.media.ffmpeg.plan import Alternative, Done, Plan, Step, StepRun
from worker.media.recipes.best_frame import content, subject
from worker.media.recipes.best_frame.sample import Sample
from worker.media.recipes.shared import (
    cost,
    fallback,
    frame_at,
    framing,
    gif,
    moving,
    picture,
)
from worker.media.recipes.shared.extent import extent, leaves_some
from worker.media.recipes.shared.moving import Rendition
from worker.media.recipes.shared.span import Span, sample
from worker.media.recipes.size_limit import fit

# Decoders of one process: about 30 frames each, 12 megapixels in all.
_PIXELS = 12_000_000
_MOST_INPUTS = 12
_CAPTURE = 1024 * 1024
# Samples of each segment, which show whether it is black.
_SAMPLES = 3
# Segments that are looked at for what a smart crop keeps.
_MOST_LOOKS = 4
_TICK = 0.001
_STORED: dict[str, Any] = {
    "c:v": "ffv1",
    "level": 3,
    "fps_mode": "passthrough",
    "f": "nut",
}


@dataclass(frozen=True)
class _PreviewRun:
    """One way to make a preview: the segments to show, their size and rate."""

    spec: PreviewSpec
    clip: Clip
    windows: tuple[Span, ...]
    rendition: Rendition
    plain: bool = False

    @property
    def inputs(self) -> int:
        """Return how many segments one process may open."""
        video = self.clip.video
        pixels = max(1, video.coded_width * video.coded_height)
        return max(1, min(_MOST_INPUTS, _PIXELS // pixels))


def plan(
    spec: PreviewSpec,
    clip: Clip,
    _part: Any = None,
    _parts: Sequence[Any] = (),
) -> Plan:
    """Return the alternatives for a preview spec, which is never split.

    Raises NoVideoStream.
    """
    seconds = spec.segments * spec.segment_duration

    def show(drawn: Any) -> StepRun:
        return fallback.still_animation(drawn, "preview", spec, seconds, clip.threads)

    frames = partial(framing.plan, spec, clip, partial(_of_frames, spec))
    canvas = fallback.animation_canvas(spec)
    return fallback.plan(spec.fallback, clip, frames, canvas, show)


def _of_frames(spec: PreviewSpec, clip: Clip) -> Plan:
    windows = segments(spec, clip)
    video = clip.video
    even = picture.is_even(spec.format)
    box = picture.fit(
        (video.width, video.height), spec, moving.DEFAULT_WIDTH, even=even
    )
    fps = _affordable_fps(spec, windows, box)
    has_alpha = picture.keeps_alpha(clip, spec.format, spec.background)
    rendition = Rendition(box, fps, spec.colors, spec.quality, has_alpha=has_alpha)
    mapped, clipped = picture.colour_warnings(clip)
    warnings = []
    few = (
        warning_codes.SINGLE_FRAME
        if video.frames == 1
        else warning_codes.FEWER_SEGMENTS
    )
    if len(windows) < spec.segments or video.frames == 1:
        warnings.append(few)
    if not leaves_some(clip, spec):
        warnings.append(warning_codes.EXCLUSION_IGNORED)
    if rendition.fps < spec.fps:
        warnings.append(warning_codes.FPS_REDUCED)
    run = _PreviewRun(spec, clip, windows, rendition)
    first = (Span(clip.begin, spec.segment_duration),)
    alternatives = []
    if moving.optimizes(spec):
        best = partial(_make, run)
        alternatives.append(
            Alternative("optimized", partial(gif.optimized, best), mapped)
        )
        mapped = (*mapped, warning_codes.NOT_OPTIMIZED)
    alternatives += [
        Alternative("seeks", partial(_make, run), mapped),
        Alternative("seeks_plain", partial(_make, replace(run, plain=True)), clipped),
        Alternative(
            "from_start",
            partial(_make, replace(run, plain=True, windows=first)),
            (few, *clipped),
        ),
    ]
    return Plan(tuple(alternatives), tuple(warnings))


def segments(spec: PreviewSpec, clip: Clip) -> tuple[Span, ...]:
    """Return segments spread evenly over what is not excluded, without overlap.

    A video with room for fewer has fewer; one shorter than a segment is shown whole. If
    less than one segment is left, it extends into what is excluded. In a video of
    unknown length, only the start is known to exist.
    """
    length = spec.segment_duration
    if clip.end is None:
        return (Span(clip.begin, length),)
    start, end = _widened(extent(clip, spec), length, (clip.begin, clip.end))
    room = end - start
    if room <= length:
        return (Span(start, max(room, clip.frame_seconds)),)
    count = max(1, min(spec.segments, int(room / length)))
    if count == 1:
        return (Span(start + (room - length) / 2, length),)
    step = (room - length) / (count - 1)
    return tuple(Span(start + place * step, length) for place in range(count))


def _widened(
    rest: tuple[float, float], length: float, whole: tuple[float, float]
) -> tuple[float, float]:
    """Return a span of at least that length, around the same middle, in the whole."""
    lacking = length - (rest[1] - rest[0])
    if lacking <= 0:
        return rest
    start = max(whole[0], min(rest[0] - lacking / 2, whole[1] - length))
    return start, min(whole[1], start + length)


def _affordable_fps(
    spec: PreviewSpec, windows: Sequence[Span], box: picture.Box
) -> float:
    """Return the requested frame rate, or the highest that disk and encoder allow."""
    return cost.rate(spec.fps, spec.format, box, _seconds(windows), stored=True)


def _aimed(run: _PreviewRun) -> Generator[Step, Done, _PreviewRun]:
    """Return the run whose crop keeps what the spec says, in all of the segments."""
    every = -(-len(run.windows) // _MOST_LOOKS)
    times = [one.start + one.length / 2 for one in run.windows[every // 2 :: every]]
    box = run.rendition.box
    clip = yield from subject.aimed(run.clip, run.spec.gravity, box, times)
    return replace(run, clip=clip)


def _make(run: _PreviewRun) -> StepRun:
    run = yield from _aimed(run)
    files, shown = yield from _store_segments(run)
    if not files or not shown:
        raise DecodeError("no frame of the video could be decoded")
    spec, rendition, seconds = run.spec, run.rendition, _seconds(run.windows)
    frames, view = content.view(
        _joined(run, files),
        sum(count for _, count in shown),
        rendition.box.width,
        alpha=picture.keeps_alpha(run.clip, run.spec.format, run.spec.background),
        most=_SAMPLES * len(shown),
    )
    name = moving.file_name("preview", spec.format)
    timing = moving.Timing(seconds, seconds)
    if spec.max_bytes is not None:
        done = yield from fit.write_master(
            frames, spec.format, rendition, timing.read, view
        )
        made, trial = yield from fit.best_trial(spec, rendition, timing, run.clip)
        made = replace(made, name=name)
    else:
        threads, trial = run.clip.threads, {}
        done = yield from moving.encode(
            frames, name, spec, rendition, timing, threads, view=view
        )
        if name not in done.files:
            raise DecodeError("the segments could not be joined")
        made = moving.made(name, name, spec.format, rendition, None, {})
    seen = content.samples(done, rendition.box.width)
    if run.clip.video.frames == 1:
        seen = []
    segments, notes = _described(run, shown, seen)
    details = {"segments": segments, "fps": round(rendition.fps, 3)} | trial
    few = (warning_codes.WINDOW_MISSING,) if len(shown) < len(run.windows) else ()
    time = round(shown[0][0].start, 3)
    made = replace(made, time=time, details=details, focus=run.clip.focus)
    return [replace(made, warnings=(*few, *notes))]


def _described(
    run: _PreviewRun, shown: Sequence[tuple[Span, int]], seen: Sequence[Sample]
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return what the document says of each segment, and warnings of empty ones.

    Samples are assigned by time: the segments play one after another.
    """
    segments: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    begin = 0.0
    for window, count in shown:
        end = begin + count / run.rendition.fps
        inside = [one for one in seen if begin <= one.time + _TICK < end]
        entry: dict[str, Any] = {
            "start": round(window.start, 3),
            "end": round(window.end, 3),
        }
        if found := content.emptiness(inside):
            entry["shows"] = found[0]
            notes |= dict.fromkeys(found)
        segments.append(entry)
        begin = end
    if not notes:
        notes = dict.fromkeys(content.read(seen).warnings)
    return segments, tuple(notes)


def _seconds(windows: Sequence[Span]) -> float:
    return sum(window.length for window in windows)


def _store_segments(
    run: _PreviewRun,
) -> Generator[Step, Done, tuple[list[str], list[tuple[Span, int]]]]:
    """Store the segments, as many in one process as memory allows.

    Returns the files, and the segments that have frames with their frame counts.
    """
    files: list[str] = []
    shown: list[tuple[Span, int]] = []
    for first in range(0, len(run.windows), run.inputs):
        batch = run.windows[first : first + run.inputs]
        file = f"segments-{first}.nut"
        words = _store(run, batch, file)
        done = yield Step(words, _seconds(batch), capture=_CAPTURE, tolerant=True)
        if file in done.files:
            files.append(file)
            seen = frame_at.places(done.stdout)
            shown += [
                (one, seen[place])
                for place, one in enumerate(batch, 1)
                if place in seen
            ]
    return files, shown


def _store(run: _PreviewRun, batch: Sequence[Span], file: str) -> tuple[str, ...]:
    # One thread each: the inputs are decoded side by side.
    clip = replace(run.clip, threads=1) if len(batch) > 1 else run.clip
    fps, width = run.rendition.fps, run.rendition.box.scaled[0]
    drawn = [
        picture.draw(
            frame_at.mark(sample(clip, window, fps, width=width), "pipe:1", place),
            clip,
            run.rendition.box,
            run.spec.format,
            background=run.spec.background,
            plain=run.plain,
        )
        for place, window in enumerate(batch, 1)
    ]
    return argv(ffmpeg.output(_concat(drawn), file, **_STORED))


def _concat(streams: Sequence[Any]) -> Any:
    if len(streams) == 1:
        return streams[0]
    return ffmpeg.filter(list(streams), "concat", n=len(streams), v=1, a=0)


def _joined(run: _PreviewRun, files: Sequence[str]) -> Any:
    """Join the stored segments, one after another."""
    words = {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS}
    stored = [ffmpeg.input(f"file:{name}", **words)["v:0"] for name in files]
    return _concat(stored).filter("setpts", f"N/{number(run.rendition.fps)}/TB")
