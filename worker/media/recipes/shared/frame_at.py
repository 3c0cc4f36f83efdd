"""One frame at a time: the steps that reach it, and the time it really has.

The frame *at* a time is the one on screen then: the last that begins at or before
it. FFmpeg's ``-ss`` gives the first that begins after it, which in a slide show is
the wrong slide. So the seek goes a little before the time (:attr:`Clip.lead`), and
the ``fps`` filter, started at the time, repeats the frame that is on screen.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import ffmpeg

from common.errors import DecodeError
from worker.media.ffmpeg.clip import Clip, argv, number, open_clip
from worker.media.ffmpeg.plan import Done, Step

_MARK = re.compile(r"pts_time:(-?[\d.]+(?:e[-+]?\d+)?)")
_PLACE = re.compile(rb"^m=(\d+)", re.MULTILINE)
_WINDOW = 10.0
SCENE_WINDOW = 60.0
_SCENES_CAPTURE = 256 * 1024
_SCENE_WIDTH = 160
_SCENE_SCORE = 0.3
# The fps filter counts in milliseconds: it rounds the times of frames to the nearest.
_RATE = 1000
# Past a keyframe by more than half a millisecond, so that a seek finds it.
_TICK = 0.0006
_EARLY_TICK = 0.002
_FIRST = -1e18
# Seeks to one frame tell its time a few microseconds apart.
_SAME_SECONDS = 0.0005


@dataclass(frozen=True)
class FrameWriter:
    """How frames become files: ``write`` appends filters and outputs to a stream.

    It gives the words after the program's name. ``capture`` is how many bytes it
    lets FFmpeg write to standard output, ``silent`` as in :class:`Step`.
    """

    write: Callable[[Any], tuple[str, ...]]
    capture: int = 0
    silent: float = 0.0

    def step(self, frames: Any, seconds: float, *, tolerant: bool = False) -> Step:
        """Return the step that writes these frames."""
        words = self.write(frames)
        return Step(words, seconds, self.capture, self.silent, tolerant=tolerant)


@dataclass(frozen=True)
class FrameGrab:
    """A step, and the wanted time: of the frames in its log, which one was written."""

    step: Step
    target: float

    def time(self, done: Done) -> float | None:
        """Give the clip's time of the frame that was written, None if unknown."""
        seen = marks(done.log)
        if not seen:
            return None
        shown = [mark for mark in seen if _tick(mark) <= _tick(self.target)]
        return shown[-1] if shown else seen[0]


def _tick(seconds: float) -> int:
    """Return a time in the fps filter's ticks, halves rounded up as it does."""
    return math.floor(round(seconds * _RATE, 6) + 0.5)


def is_same(one: float | None, other: float | None) -> bool:
    """Tell whether two times that shots told are of one frame."""
    return one is not None and other is not None and abs(one - other) <= _SAME_SECONDS


def mark(stream: Any, file: str = "pipe:2", place: int = 1) -> Any:
    """Let the log tell the time of every frame that passes; see :func:`marks`.

    Of many frames the log might keep the last only: ``pipe:1`` is standard output.
    ``place`` tells the frames of several streams apart; see :func:`places`.
    """
    return stream.filter("metadata", "add", key="m", value=place).filter(
        "metadata", "print", file=file, direct=1
    )


def marks(log: str) -> list[float]:
    """Read the times that :func:`mark` wrote, in seconds of the clip."""
    return [seconds(found) for found in _MARK.findall(log)]


def seconds(mark: str | bytes) -> float:
    """Return the time in a mark: a frame that is on screen at 0 has no earlier one."""
    return max(0.0, float(mark))


def places(output: bytes) -> Counter[int]:
    """Count the frames of each of the streams that :func:`mark` told apart."""
    return Counter(int(found) for found in _PLACE.findall(output))


def exact(
    clip: Clip,
    at: float,
    writer: FrameWriter,
    *,
    early: float = 0.0,
    tolerant: bool = False,
) -> FrameGrab:
    """Give the shot of the frame on screen at ``at`` seconds.

    ``early`` seconds more are decoded before it, for files in which a seek leads
    behind the keyframe that is needed; infinity decodes from the start.
    """
    start = max(0.0, at - clip.lead - early)
    length = at - start + max(_WINDOW, clip.lead)
    frames = mark(open_clip(clip, start=start, length=length))
    # A whole millisecond: between two, the filter and Shot.time might not agree on
    # which frame is on screen.
    begin = number(_tick(at) / _RATE)
    frames = frames.filter("fps", _RATE, start_time=begin, round="near")
    # Without it the filter repeats the frame a thousand times a second of a slide.
    frames = frames.filter("trim", end_frame=1)
    return FrameGrab(writer.step(frames, length, tolerant=tolerant), at)


def skipping(clip: Clip) -> dict[str, Any]:
    """Return the option by which the decoder leaves out frames that none refers to.

    Not where the file has no timestamps: FFmpeg counts decoded frames there, and each
    one that is left out would make all later times too early.
    """
    return {"skip_frame": "noref"} if clip.video.bitstream_pts else {}


def known(
    clip: Clip, at: float, writer: FrameWriter, sought: float | None = None
) -> FrameGrab:
    """Give the shot of a frame that is known to begin at ``at`` seconds.

    No frame before it is needed, unlike for :func:`exact`: the seek leads to its own
    keyframe. The frame is one that a look without the frames that no other refers to
    has shown (:mod:`worker.media.recipes.best_frame.sampling`), so these are left out
    on the way. ``sought`` is the seek of that look.
    """
    start = sought if sought is not None else _before(clip, at)
    skip = {} if clip.video.interlaced else skipping(clip)
    frames = open_clip(clip, start=start, noaccurate_seek=None, **skip)
    later = f"gte(t,{number(at - _EARLY_TICK)})"
    frames = mark(frames.filter("select", later).filter("trim", end_frame=1))
    return FrameGrab(writer.step(frames, _WINDOW, tolerant=True), _FIRST)


def _before(clip: Clip, at: float) -> float:
    return max(0.0, at + _TICK if clip.indexed else at - clip.lead)


def keyframe(clip: Clip, at: float, writer: FrameWriter) -> FrameGrab:
    """Give the shot of the keyframe at or before ``at``: one frame is decoded."""
    frames = open_clip(clip, start=at, skip_frame="nokey", noaccurate_seek=None)
    return FrameGrab(
        writer.step(mark(frames).filter("trim", end_frame=1), _WINDOW), _FIRST
    )


def first(clip: Clip, writer: FrameWriter, *, tolerant: bool = False) -> FrameGrab:
    """Give the shot of the first frame that decodes."""
    frames = mark(open_clip(clip)).filter("trim", end_frame=1)
    return FrameGrab(writer.step(frames, _WINDOW, tolerant=tolerant), _FIRST)


def last_time(clip: Clip, *, seek: bool = True) -> Generator[Step, Done, float | None]:
    """Find when the last frame begins, by decoding what is near the known end.

    ``seek`` False decodes all of the clip, as where no end is known. None when no
    frame came.
    """
    end = clip.end or 0.0
    start = max(0.0, end - max(1.0, 2 * clip.lead)) if seek else 0.0
    frames = mark(open_clip(clip, start=start))
    words = argv(ffmpeg.output(frames, "-", f="null", fps_mode="passthrough"))
    done = yield Step(words, max(_WINDOW, clip.seconds - start), tolerant=True)
    seen = marks(done.log)
    return max(seen) if seen else None


def next_scene(
    clip: Clip, at: float, before: float = math.inf
) -> Generator[Step, Done, float]:
    """Find the first frame of the next scene within a minute after ``at``.

    Raises DecodeError when the picture does not change that much ``before`` then.
    """
    length = min(SCENE_WINDOW, before - at)
    frames = _changes(clip, at, length)
    options = {"f": "null", "frames:v": 1, "fps_mode": "passthrough"}
    words = argv(ffmpeg.output(mark(frames), "-", **options))
    done = yield Step(words, length, tolerant=True)
    seen = marks(done.log)
    if not seen:
        raise DecodeError(f"no new scene begins in the minute after {at:g} s")
    return seen[0]


def scenes(clip: Clip, at: float, length: float) -> Generator[Step, Done, list[float]]:
    """Find the first frames of all scenes that begin in a stretch, in seconds."""
    frames = mark(_changes(clip, at, length), "pipe:1")
    words = argv(ffmpeg.output(frames, "-", f="null", fps_mode="passthrough"))
    done = yield Step(words, length, _SCENES_CAPTURE, tolerant=True)
    return marks(done.stdout.decode("ascii", "replace"))


def _changes(clip: Clip, at: float, length: float) -> Any:
    frames = open_clip(clip, start=at, length=length)
    frames = frames.filter("scale", _SCENE_WIDTH, -2, flags="fast_bilinear")
    return frames.filter("select", f"gt(scene,{_SCENE_SCORE})")
