"""The recipe of hover previews: short segments of the whole video, one after another.

The segments are seeked to, several in one process, and kept small and lossless; the
last step joins and encodes them. How many inputs a process opens depends on their
size, since each decoder holds its own frames.
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
from worker.media.recipes.best_frame import content
from worker.media.recipes.best_frame.sample import Sample
from worker.media.recipes.shared import cost, fallback, frame_at, gif, moving, picture
from worker.media.recipes.shared.extent import extent, leaves_some
from worker.media.recipes.shared.moving import Look
from worker.media.recipes.shared.span import Stretch, sample
from worker.media.recipes.size_limit import fit

# Decoders of one process: about 30 frames each, 12 megapixels in all.
_PIXELS = 12_000_000
_MOST_INPUTS = 12
_CAPTURE = 1024 * 1024
# Of each segment, by which it is told whether that is black.
_SAMPLES = 3
_TICK = 0.001
_STORED: dict[str, Any] = {
    "c:v": "ffv1",
    "level": 3,
    "fps_mode": "passthrough",
    "f": "nut",
}


@dataclass(frozen=True)
class _Cut:
    """What is taken from the clip, at which size and pace."""

    spec: PreviewSpec
    clip: Clip
    windows: tuple[Stretch, ...]
    look: Look
    plain: bool = False

    @property
    def inputs(self) -> int:
        """Give how many segments one process may open."""
        video = self.clip.video
        pixels = max(1, video.coded_width * video.coded_height)
        return max(1, min(_MOST_INPUTS, _PIXELS // pixels))


def plan(
    spec: PreviewSpec,
    clip: Clip,
    _part: Any = None,
    _parts: Sequence[Any] = (),
) -> Plan:
    """Give the alternatives for a preview spec; it is never cut into parts.

    Raises NoVideoStream.
    """
    seconds = spec.segments * spec.segment_duration

    def show(drawn: Any) -> StepRun:
        return fallback.held(drawn, "preview", spec, seconds, clip.threads)

    frames = partial(_of_frames, spec, clip)
    canvas = fallback.of_animation(spec)
    return fallback.plan(spec.fallback, clip, frames, canvas, show)


def _of_frames(spec: PreviewSpec, clip: Clip) -> Plan:
    windows = segments(spec, clip)
    video = clip.video
    even = picture.is_even(spec.format)
    box = picture.fit(
        (video.width, video.height), spec, moving.DEFAULT_WIDTH, even=even
    )
    fps = _bearable(spec, windows, box)
    clear = picture.keeps_alpha(clip, spec.format, spec.background)
    look = Look(box, fps, spec.colors, spec.quality, clear=clear)
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
    if look.fps < spec.fps:
        warnings.append(warning_codes.FPS_REDUCED)
    cut = _Cut(spec, clip, windows, look)
    first = (Stretch(clip.begin, spec.segment_duration),)
    alternatives = []
    if moving.optimizes(spec):
        best = partial(_make, cut)
        alternatives.append(
            Alternative("optimized", partial(gif.optimized, best), mapped)
        )
        mapped = (*mapped, warning_codes.NOT_OPTIMIZED)
    alternatives += [
        Alternative("seeks", partial(_make, cut), mapped),
        Alternative("seeks_plain", partial(_make, replace(cut, plain=True)), clipped),
        Alternative(
            "from_start",
            partial(_make, replace(cut, plain=True, windows=first)),
            (few, *clipped),
        ),
    ]
    return Plan(tuple(alternatives), tuple(warnings))


def segments(spec: PreviewSpec, clip: Clip) -> tuple[Stretch, ...]:
    """Spread the segments evenly over what is not excluded; none overlap.

    A video with room for fewer gives fewer; one shorter than a single segment is
    shown whole. Where less than one segment is left, it reaches into what is
    excluded. Of a video of unknown length only the start is known to exist.
    """
    length = spec.segment_duration
    if clip.end is None:
        return (Stretch(clip.begin, length),)
    start, end = _widened(extent(clip, spec), length, (clip.begin, clip.end))
    room = end - start
    if room <= length:
        return (Stretch(start, max(room, clip.frame_seconds)),)
    count = max(1, min(spec.segments, int(room / length)))
    if count == 1:
        return (Stretch(start + (room - length) / 2, length),)
    step = (room - length) / (count - 1)
    return tuple(Stretch(start + place * step, length) for place in range(count))


def _widened(
    rest: tuple[float, float], length: float, whole: tuple[float, float]
) -> tuple[float, float]:
    """Give a rest of at least that length around the same middle, inside the whole."""
    lacking = length - (rest[1] - rest[0])
    if lacking <= 0:
        return rest
    start = max(whole[0], min(rest[0] - lacking / 2, whole[1] - length))
    return start, min(whole[1], start + length)


def _bearable(spec: PreviewSpec, windows: Sequence[Stretch], box: picture.Box) -> float:
    """Return the asked frame rate, or what the disk and the encoder can bear."""
    return cost.rate(spec.fps, spec.format, box, _seconds(windows), stored=True)


def _make(cut: _Cut) -> StepRun:
    files, shown = yield from _take(cut)
    if not files or not shown:
        raise DecodeError("no frame of the video could be decoded")
    spec, look, seconds = cut.spec, cut.look, _seconds(cut.windows)
    frames, view = content.view(
        _joined(cut, files),
        sum(count for _, count in shown),
        look.box.width,
        alpha=picture.keeps_alpha(cut.clip, cut.spec.format, cut.spec.background),
        most=_SAMPLES * len(shown),
    )
    name = moving.file_name("preview", spec.format)
    span = moving.Span(seconds, seconds)
    if spec.max_bytes is not None:
        done = yield from fit.master(frames, spec.format, look, span.read, view)
        made, trial = yield from fit.fit(spec, look, span, cut.clip)
        made = replace(made, name=name)
    else:
        threads, trial = cut.clip.threads, {}
        done = yield from moving.encode(
            frames, name, spec, look, span, threads, view=view
        )
        if name not in done.files:
            raise DecodeError("the segments could not be joined")
        made = moving.made(name, name, spec.format, look, None, {})
    seen = content.samples(done, look.box.width)
    if cut.clip.video.frames == 1:
        seen = []
    segments, notes = _described(cut, shown, seen)
    details = {"segments": segments, "fps": round(look.fps, 3)} | trial
    few = (warning_codes.WINDOW_MISSING,) if len(shown) < len(cut.windows) else ()
    time = round(shown[0][0].start, 3)
    return [replace(made, time=time, details=details, warnings=(*few, *notes))]


def _described(
    cut: _Cut, shown: Sequence[tuple[Stretch, int]], seen: Sequence[Sample]
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return what the document says of each segment, and warnings of empty ones.

    Samples are told apart by time: the segments play one after another.
    """
    segments: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    begin = 0.0
    for window, count in shown:
        end = begin + count / cut.look.fps
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


def _seconds(windows: Sequence[Stretch]) -> float:
    return sum(window.length for window in windows)


def _take(
    cut: _Cut,
) -> Generator[Step, Done, tuple[list[str], list[tuple[Stretch, int]]]]:
    """Draw the segments, as many in one process as memory allows.

    Returns the files, and the segments that have frames in them, with how many.
    """
    files: list[str] = []
    shown: list[tuple[Stretch, int]] = []
    for first in range(0, len(cut.windows), cut.inputs):
        batch = cut.windows[first : first + cut.inputs]
        file = f"segments-{first}.nut"
        words = _store(cut, batch, file)
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


def _store(cut: _Cut, batch: Sequence[Stretch], file: str) -> tuple[str, ...]:
    # One thread each: the inputs are decoded side by side.
    clip = replace(cut.clip, threads=1) if len(batch) > 1 else cut.clip
    fps = cut.look.fps
    drawn = [
        picture.draw(
            frame_at.mark(sample(clip, window, fps), "pipe:1", place),
            clip,
            cut.look.box,
            cut.spec.format,
            background=cut.spec.background,
            plain=cut.plain,
        )
        for place, window in enumerate(batch, 1)
    ]
    return argv(ffmpeg.output(_concat(drawn), file, **_STORED))


def _concat(streams: Sequence[Any]) -> Any:
    if len(streams) == 1:
        return streams[0]
    return ffmpeg.filter(list(streams), "concat", n=len(streams), v=1, a=0)


def _joined(cut: _Cut, files: Sequence[str]) -> Any:
    """Put the stored segments one after another."""
    words = {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS}
    stored = [ffmpeg.input(f"file:{name}", **words)["v:0"] for name in files]
    return _concat(stored).filter("setpts", f"N/{number(cut.look.fps)}/TB")
