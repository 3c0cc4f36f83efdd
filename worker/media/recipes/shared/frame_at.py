"""Grab one frame at a time, and read which time it really has.

The frame *at* a time is the one on screen then: the last that starts at or before it.
FFmpeg's ``-ss`` finds the first that starts after it, which in a slide show is the
wrong slide. So the seek goes a little before the time (:attr:`Clip.lead`), and the
``fps`` filter, started at the time, repeats the frame that is on screen.
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
# The fps filter runs at this rate, so it rounds the times of frames to milliseconds.
_RATE = 1000
# Seek to more than half a millisecond after a keyframe, so that the seek finds it.
_TICK = 0.0006
_EARLY_TICK = 0.002
_FIRST = -1e18
# Seeks to one frame report times that differ by a few microseconds.
_SAME_SECONDS = 0.0005


@dataclass(frozen=True)
class FrameWriter:
    """How frames become files: ``write`` appends filters and outputs to a stream.

    It returns the words after the program's name. ``capture`` is how many bytes FFmpeg
    then writes to standard output, ``silent`` and ``reserved`` are as in :class:`Step`.
    """

    write: Callable[[Any], tuple[str, ...]]
    capture: int = 0
    silent: float = 0.0
    reserved: int = 0

    def step(self, frames: Any, seconds: float, *, tolerant: bool = False) -> Step:
        """Return the step that writes these frames."""
        words = self.write(frames)
        return Step(
            words,
            seconds,
            self.capture,
            self.silent,
            self.reserved,
            tolerant=tolerant,
        )


@dataclass(frozen=True)
class FrameGrab:
    """A step that writes one of the frames in its log, and the wanted time."""

    step: Step
    target: float

    def time(self, done: Done) -> float | None:
        """Return the time in the clip of the written frame, None if unknown."""
        seen = marks(done.log)
        if not seen:
            return None
        shown = [mark for mark in seen if _tick(mark) <= _tick(self.target)]
        return shown[-1] if shown else seen[0]


def _tick(seconds: float) -> int:
    """Return a time in the fps filter's ticks, halves rounded up as it does."""
    return math.floor(round(seconds * _RATE, 6) + 0.5)


def is_same(one: float | None, other: float | None) -> bool:
    """Return True if two times that grabs returned are of one frame."""
    return one is not None and other is not None and abs(one - other) <= _SAME_SECONDS


def mark(stream: Any, file: str = "pipe:2", place: int = 1) -> Any:
    """Append filters that log the time of every frame; see :func:`marks`.

    The log might keep only the last of many frames; ``pipe:1`` is standard output
    instead. ``place`` distinguishes the frames of several streams; see :func:`places`.
    """
    return stream.filter("metadata", "add", key="m", value=place).filter(
        "metadata", "print", file=file, direct=1
    )


def marks(log: str) -> list[float]:
    """Return the times that :func:`mark` wrote, in seconds of the clip."""
    return [seconds(found) for found in _MARK.findall(log)]


def seconds(mark: str | bytes) -> float:
    """Return the time in a mark, at least 0 for a frame on screen at 0."""
    return max(0.0, float(mark))


def places(output: bytes) -> Counter[int]:
    """Count the frames of each stream that :func:`mark` numbered."""
    return Counter(int(found) for found in _PLACE.findall(output))


def exact(
    clip: Clip,
    at: float,
    writer: FrameWriter,
    *,
    early: float = 0.0,
    tolerant: bool = False,
) -> FrameGrab:
    """Return the grab of the frame on screen at ``at`` seconds.

    ``early`` seconds more are decoded before it, for files in which a seek leads past
    the keyframe that is needed; infinity decodes from the start.
    """
    start = max(0.0, at - clip.lead - early)
    length = at - start + max(_WINDOW, clip.lead)
    frames = mark(open_clip(clip, start=start, length=length))
    # A whole millisecond: between two, the filter and FrameGrab.time might differ on
    # which frame is on screen.
    begin = number(_tick(at) / _RATE)
    frames = frames.filter("fps", _RATE, start_time=begin, round="near")
    # Otherwise the filter would repeat a slide a thousand times a second.
    frames = frames.filter("trim", end_frame=1)
    return FrameGrab(writer.step(frames, length, tolerant=tolerant), at)


def skipping(clip: Clip) -> dict[str, Any]:
    """Return the option that skips frames which no other frame refers to.

    Empty if the file has no timestamps: FFmpeg then counts decoded frames, and each
    skipped one would make all later times too early.
    """
    return {"skip_frame": "noref"} if clip.video.bitstream_pts else {}


def known(
    clip: Clip, at: float, writer: FrameWriter, sought: float | None = None
) -> FrameGrab:
    """Return the grab of a frame that is known to start at ``at`` seconds.

    Unlike for :func:`exact`, no frame before it is needed: the seek leads to its own
    keyframe. The frame was found by a sampling run that skips frames which no other
    refers to (:mod:`worker.media.recipes.best_frame.sampling`), so they are skipped
    here too. ``sought`` is the seek of that run.
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
    """Return the grab of the keyframe at or before ``at``; it decodes one frame."""
    frames = open_clip(clip, start=at, skip_frame="nokey", noaccurate_seek=None)
    return FrameGrab(
        writer.step(mark(frames).filter("trim", end_frame=1), _WINDOW), _FIRST
    )


def first(clip: Clip, writer: FrameWriter, *, tolerant: bool = False) -> FrameGrab:
    """Return the grab of the first frame that decodes."""
    frames = mark(open_clip(clip)).filter("trim", end_frame=1)
    return FrameGrab(writer.step(frames, _WINDOW, tolerant=tolerant), _FIRST)


def last_time(clip: Clip, *, seek: bool = True) -> Generator[Step, Done, float | None]:
    """Find when the last frame starts, by decoding what is near the known end.

    ``seek`` False decodes the whole clip, as needed if no end is known. None if no
    frame could be decoded.
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

    Raises DecodeError if no new scene begins ``before`` then.
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
    """Find the first frames of all scenes that begin in a span, in seconds."""
    frames = mark(_changes(clip, at, length), "pipe:1")
    words = argv(ffmpeg.output(frames, "-", f="null", fps_mode="passthrough"))
    done = yield Step(words, length, _SCENES_CAPTURE, tolerant=True)
    return marks(done.stdout.decode("ascii", "replace"))


def _changes(clip: Clip, at: float, length: float) -> Any:
    frames = open_clip(clip, start=at, length=length)
    frames = frames.filter("scale", _SCENE_WIDTH, -2, flags="fast_bilinear")
    return frames.filter("select", f"gt(scene,{_SCENE_SCORE})")
