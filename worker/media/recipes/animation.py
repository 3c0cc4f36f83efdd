"""The recipe of one contiguous animation: GIF, WebP, AVIF, MP4 or WebM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ffmpeg

from common.errors import DecodeError, SeekPastEnd
from common.specs import AnimationSpec, parse_time
from worker.media.recipes import encode, gif, picture
from worker.media.recipes import warnings as codes
from worker.media.recipes.plan import Made, Plan, Rung, RungRun, Step
from worker.media.recipes.source import Clip, argv, number, open_clip

_DEFAULT_WIDTH = 320
_DEFAULT_SECONDS = 5.0
_LONGEST = 30.0


@dataclass(frozen=True)
class Window:
    """A stretch of the clip: ``start`` on its clock, ``length`` in seconds."""

    start: float
    length: float
    warnings: tuple[str, ...] = ()


def window(spec: AnimationSpec, clip: Clip) -> Window:
    """Find the stretch that was asked, moved back or cut so that it fits.

    Raises SeekPastEnd when ``start`` lies after the known end and the spec gives
    an ``end`` too, so that nothing of what was asked exists.
    """
    start = clip.at(spec.start)
    length = _DEFAULT_SECONDS if spec.duration is None else spec.duration
    if spec.end is not None:
        length = clip.at(spec.end) - start
        if length <= 0:
            raise SeekPastEnd(
                f"end ({spec.end}) is not after start ({spec.start})", pointer="/end"
            )
    length = min(length, _LONGEST)
    if clip.end is None:
        return Window(start, length)
    whole = max(clip.end - clip.begin, clip.frame_seconds)
    warnings = []
    if clip.video.frames == 1:
        warnings.append(codes.SINGLE_FRAME)
    elif spec.duration is not None and length > whole + clip.frame_seconds:
        warnings.append(codes.SHORTER)
    length = min(length, whole)
    moved = max(clip.begin, min(start, clip.end - length))
    if clip.is_past_end(start):
        warnings.append(codes.TIME_PAST_END)
    elif start - moved > clip.frame_seconds and not _is_share(spec.start):
        warnings.append(codes.START_MOVED)
    return Window(moved, length, tuple(warnings))


def _is_share(value: float | str) -> bool:
    return parse_time(value)[1]


def plan(
    spec: AnimationSpec, clip: Clip, part: Any = None, parts: Sequence[Any] = ()
) -> Plan:
    """Give the rungs for an animation spec; parts are not used.

    Raises NoVideoStream, SeekPastEnd.
    """
    stretch = window(spec, clip)
    warnings = list(stretch.warnings)
    if clip.video.hdr:
        warnings.append(codes.TONE_MAPPED)
    clipped = (codes.HDR_CLIPPED if clip.video.hdr else codes.COLOUR_GUESSED,)
    start = replace(stretch, start=clip.begin)
    rungs = (
        Rung("seek", partial(_make, spec, clip, stretch)),
        Rung("seek_plain", partial(_make, spec, clip, stretch, plain=True), clipped),
        Rung(
            "from_start",
            partial(_make, spec, clip, start, plain=True, seek=False),
            (codes.START_MOVED, *clipped),
        ),
    )
    return Plan(rungs, tuple(warnings))


def frames_of(spec: AnimationSpec, clip: Clip, stretch: Window) -> int:
    """Give how many frames the animation has."""
    if clip.video.frames == 1:
        return 1
    return max(1, round(stretch.length / spec.speed * spec.fps))


def _sampled(
    spec: AnimationSpec, clip: Clip, stretch: Window, *, seek: bool
) -> Any:
    """Give the stretch's frames at the asked rate, before they are scaled.

    ``-t`` bounds what is read, ``trim`` what is passed on: a file whose timestamps
    jump would otherwise fill the palette's buffer without an end.
    """
    start = max(0.0, stretch.start - clip.lead) if seek else 0.0
    lead = max(0.0, stretch.start - clip.clock(start))
    frames = open_clip(clip, start=start, length=lead + stretch.length)
    # The clock starts at the first picture before fps rounds it to its slots.
    frames = frames.filter("setpts", _clock(lead, spec.speed))
    # eof_action: a video shorter than one frame of the GIF gives its frame, too.
    frames = frames.filter(
        "fps", number(spec.fps), start_time=0, eof_action="pass"
    )
    frames = frames.filter("trim", end_frame=frames_of(spec, clip, stretch))
    return frames


def _clock(lead: float, speed: float) -> str:
    shifted = f"PTS-{number(lead)}/TB"
    return shifted if speed == 1 else f"({shifted})/{number(speed)}"


def _make(
    spec: AnimationSpec,
    clip: Clip,
    stretch: Window,
    *,
    plain: bool = False,
    seek: bool = True,
) -> RungRun:
    video = clip.video
    box = picture.fit(
        (video.width, video.height),
        spec,
        _DEFAULT_WIDTH,
        even=picture.is_even(spec.format),
    )
    frames = _sampled(spec, clip, stretch, seek=seek)
    frames = picture.draw(
        frames, clip, box, spec.format, background=spec.background, plain=plain
    )
    if spec.format == "gif":
        frames = gif.palette(
            frames,
            colors=spec.colors,
            dither=spec.dither,
            bayer_scale=spec.bayer_scale,
            stats=spec.palette,
        )
    file = f"animation.{encode.extension(spec.format)}"
    options = encode.moving(
        spec.format,
        spec.quality,
        loop=spec.loop,
        width=box.width,
        height=box.height,
        fps=spec.fps,
        threads=clip.threads,
    )
    words = argv(ffmpeg.output(frames, file, **options))
    done = yield Step(words, seconds=stretch.length)
    if file not in done.files:
        raise DecodeError("no frame could be decoded there")
    kind = encode.CONTENT_TYPES[spec.format]
    return [Made(file, file, kind, box.width, box.height, time=round(stretch.start, 3))]
