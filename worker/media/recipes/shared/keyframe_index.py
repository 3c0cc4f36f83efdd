"""Choose keyframes by the container's index, before any of the film is read.

A run that decodes one keyframe in ten seconds still reads the whole file, because a
demuxer passes on every packet. Where the source is not on this host, all of it would be
fetched. So the run is told which packets it may decode, by their offsets, and only
their bytes are fetched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from worker.media.ffmpeg.plan import Done, Step

_CAPTURE = 8 * 1024 * 1024
_SECONDS = 60.0
# The expression that names the packets is one word of at most 128 KiB.
_MOST = 2000
_SAME_SECONDS = 0.002


@dataclass(frozen=True)
class Keyframe:
    """A keyframe: when it is shown, on the container's clock, and where it lies."""

    time: float
    start: int
    end: int


def step(stream: int) -> Step:
    """Return the step that lists the keyframes of a stream; see :func:`read`."""
    words = (str(stream),)
    return Step(words, _SECONDS, _CAPTURE, tolerant=True, program="keyframes")


def read(done: Done) -> list[Keyframe]:
    """Return the keyframes that the step found; none if no index lists them."""
    if done.returncode != 0:
        return []
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return []  # longer than what is kept
    return [Keyframe(time, at, at + size) for time, at, size in found]


def first_of_cells(
    keyframes: Sequence[Keyframe], cell_of: Callable[[float], int]
) -> dict[int, Keyframe]:
    """Return the first keyframe of each cell that has one, none if there are many."""
    found: dict[int, Keyframe] = {}
    for one in keyframes:
        if (cell := cell_of(one.time)) >= 0 and cell > max(found, default=-1):
            found[cell] = one
    return found if len(found) <= _MOST else {}


def is_other(keyframes: Sequence[Keyframe]) -> str:
    """Return FFmpeg's expression that is not 0 for a packet that is none of these.

    It bisects the offsets: a film has many packets.
    """
    places = sorted(one.start for one in keyframes)
    return f"not({_is_one(places)})"


def _is_one(places: Sequence[int]) -> str:
    if len(places) == 1:
        return f"eq(pos,{places[0]})"
    half = len(places) // 2
    left, right = _is_one(places[:half]), _is_one(places[half:])
    return f"if(lt(pos,{places[half]}),{left},{right})"


def came(
    wanted: Mapping[int, Keyframe], times: Mapping[int, float], zero: float
) -> bool:
    """Return True if each wanted keyframe came at the time that the index implied.

    ``times`` are those of decoded frames after ``zero``, by cell. The first may have
    been corrected.
    """
    later = sorted(wanted)[1:]
    return wanted.keys() <= times.keys() and all(
        math.isclose(times[cell], wanted[cell].time - zero, abs_tol=_SAME_SECONDS)
        for cell in later
    )
