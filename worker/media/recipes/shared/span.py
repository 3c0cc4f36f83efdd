"""Read the frames of a span of the clip, at a chosen rate.

``-t`` limits what is read, ``trim`` what is passed on: a file whose timestamps jump
would otherwise fill a palette's buffer endlessly.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import ffmpeg

from worker.media import warning_codes
from worker.media.ffmpeg.clip import Clip, argv, number, open_clip
from worker.media.ffmpeg.plan import Done, Step
from worker.media.recipes.shared import frame_at

# A picture shrunk to a third of the film's size, or to less, shows no edges of blocks.
_SHRUNK = 3
# Enough bytes for the time of one frame.
_SECOND_FRAME = 1024
_INSTANT = 0.001


@dataclass(frozen=True)
class Span:
    """A part of the clip: ``start`` on its clock and ``length``, both in seconds."""

    start: float
    length: float

    @property
    def end(self) -> float:
        """Return the time at which it ends."""
        return self.start + self.length


def frames_of(clip: Clip, seconds: float, fps: float) -> int:
    """Return how many frames play in that many seconds, at most.

    At least two if the clip has more than one: an animation moves.
    """
    if clip.video.frames == 1:
        return 1
    return max(2, round(seconds * fps))


def deblocking(clip: Clip, width: int, *, alone: bool = False) -> dict[str, Any]:
    """Return the option that leaves block edges where nobody sees them.

    If the picture shrinks to a third or less, frames that no other refers to are not
    deblocked, and in H.264 no B frame is: its P frames never refer to one, so an error
    ends before the next of them. That saves a fifth of the decoder's time. ``alone``
    says that only keyframes are decoded: none of them is deblocked then.
    """
    if width * _SHRUNK > clip.video.width:
        return {}
    if alone:
        return {"skip_loop_filter": "all"}
    most = "bidir" if clip.video.codec == "h264" else "noref"
    return {"skip_loop_filter": most}


def sample(
    clip: Clip,
    span: Span,
    fps: float,
    *,
    speed: float = 1.0,
    early: float = 0.0,
    width: int,
) -> Any:
    """Return the frames of a span as they are decoded, at ``fps``, from 0.

    The decoder starts before the span, at the frame that is on screen when it begins;
    ``early`` seconds earlier still if seeks are unreliable. ``width`` is what the
    frames are scaled to, in pixels, upright: see :func:`deblocking`.
    """
    start = max(0.0, span.start - clip.lead - early)
    options = deblocking(clip, width)
    frames = open_clip(clip, start=start, length=span.end - start, **options)
    clock = f"PTS-{number(span.start)}/TB"
    clock = clock if speed == 1 else f"({clock})/{number(speed)}"
    frames = frames.filter("setpts", clock)
    # eof_action: a video shorter than one slot keeps its frame.
    frames = frames.filter("fps", number(fps), start_time=0, eof_action="pass")
    count = frames_of(clip, span.length / speed, fps)
    return frames.filter("trim", end_frame=count)


def stillness(clip: Clip, span: Span) -> Generator[Step, Done, tuple[str, ...]]:
    """Return ``single_frame`` if no frame starts within a span.

    Such a span shows only the frame that is on screen as it begins. Only clips with
    frames as long as the span are checked, up to the second frame.
    """
    longest = max(clip.video.longest_frame or 0.0, clip.frame_seconds)
    if clip.video.frames == 1 or longest < span.length:
        return ()
    start = max(0.0, span.start - clip.lead)
    length = span.end - start
    frames = open_clip(clip, start=start, length=length)
    since, until = number(span.start + _INSTANT), number(span.end - _INSTANT)
    frames = frames.filter("select", f"gt(t,{since})*lt(t,{until})")
    frames = frame_at.mark(frames, "pipe:1")
    options = {"f": "null", "frames:v": 1, "fps_mode": "passthrough"}
    words = argv(ffmpeg.output(frames, "-", **options))
    done = yield Step(words, length, _SECOND_FRAME, tolerant=True)
    moves = frame_at.marks(done.stdout.decode("ascii", "replace"))
    return () if moves else (warning_codes.SINGLE_FRAME,)
