"""One frame at a time: the steps that reach it, and the time it really has.

The frame *at* a time is the one on screen then: the last that begins at or before
it. FFmpeg's ``-ss`` gives the first that begins after it, which in a slide show is
the wrong slide. So the seek goes a little before the time (:attr:`Clip.lead`), and
the ``fps`` filter, started at the time, repeats the frame that is on screen.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ffmpeg

from worker.media.recipes.plan import Done, Step
from worker.media.recipes.source import Clip, argv, number, open_clip

_MARK = re.compile(r"pts_time:(-?[\d.]+(?:e[-+]?\d+)?)")
_WINDOW = 10.0
# Half of the fps filter's tick: it rounds times to milliseconds.
_TICK = 0.0006

Draw = Callable[[Any], Any]


@dataclass(frozen=True)
class Shot:
    """A step, and how the times in its log are to be read.

    ``start`` is the clip's time at which the log's clock is 0; ``target`` the wanted
    time on the log's clock, None for the last frame.
    """

    step: Step
    start: float
    target: float | None

    def time(self, done: Done) -> float | None:
        """Give the clip's time of the frame that was written, None if unknown."""
        seen = [float(mark) for mark in _MARK.findall(done.log)]
        if not seen:
            return None
        if self.target is None:
            return round(self.start + seen[-1], 6)
        shown = [mark for mark in seen if mark <= self.target + _TICK]
        return round(self.start + (shown[-1] if shown else seen[0]), 6)


def mark(stream: Any) -> Any:
    """Let the log tell the time of every frame that passes (see :class:`Shot`)."""
    return stream.filter("metadata", "add", key="m", value="1").filter(
        "metadata", "print", file="pipe:2", direct=1
    )


def _write(picture: Any, file: str, options: dict[str, Any]) -> tuple[str, ...]:
    return argv(ffmpeg.output(picture, file, **options))


def exact(  # noqa: PLR0913 - a time, a picture, a file
    clip: Clip,
    at: float,
    draw: Draw,
    file: str,
    options: dict[str, Any],
    *,
    early: float = 0.0,
    tolerant: bool = False,
) -> Shot:
    """Give the shot of the frame on screen at ``at`` seconds.

    ``early`` seconds more are decoded before it, for files in which a seek leads
    behind the keyframe that is needed; infinity decodes from the start.
    """
    start = max(0.0, at - clip.lead - early)
    zero = clip.clock(start)
    target = max(0.0, at - zero)
    length = target + max(_WINDOW, clip.lead)
    frames = mark(open_clip(clip, start=start, length=length))
    frames = frames.filter("fps", 1000, start_time=number(target), round="near")
    # Without it the filter repeats the frame a thousand times a second of a slide.
    frames = frames.filter("trim", end_frame=1)
    step = Step(
        _write(draw(frames), file, options),
        seconds=length,
        tolerant=tolerant,
    )
    return Shot(step, zero, target)


def keyframe(
    clip: Clip, at: float, draw: Draw, file: str, options: dict[str, Any]
) -> Shot:
    """Give the shot of the keyframe at or before ``at``: one frame is decoded."""
    frames = open_clip(
        clip, start=at, skip_frame="nokey", noaccurate_seek=None, discard="nokey"
    )
    step = Step(_write(draw(mark(frames)), file, options), seconds=_WINDOW)
    return Shot(step, clip.clock(at), -float("inf"))


def first(
    clip: Clip, draw: Draw, file: str, options: dict[str, Any], *, tolerant: bool = False
) -> Shot:
    """Give the shot of the first frame that decodes."""
    words = _write(draw(mark(open_clip(clip))), file, options)
    step = Step(words, seconds=_WINDOW, tolerant=tolerant)
    return Shot(step, clip.clock(0.0), -float("inf"))


def last(
    clip: Clip,
    draw: Draw,
    file: str,
    options: dict[str, Any],
    *,
    seek: bool = True,
) -> Shot:
    """Give the shot of the last frame: each one that comes overwrites the file."""
    end = clip.end or 0.0
    start = max(0.0, end - max(1.0, 2 * clip.lead)) if seek else 0.0
    words = {key: value for key, value in options.items() if key != "frames:v"}
    frames = mark(open_clip(clip, start=start))
    step = Step(_write(draw(frames), file, words), seconds=max(_WINDOW, end - start))
    return Shot(step, clip.clock(start), None)
