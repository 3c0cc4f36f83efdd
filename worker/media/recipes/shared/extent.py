"""What is left of a clip when a spec leaves out its ends."""

from __future__ import annotations

from typing import Protocol

from worker.media.ffmpeg.clip import Clip


class Excluding(Protocol):
    """A spec that leaves out the ends."""

    @property
    def exclude_start(self) -> float | str:
        """What is left out at the start, a time."""

    @property
    def exclude_end(self) -> float | str:
        """What is left out at the end, a time."""


def leaves_some(clip: Clip, spec: Excluding) -> bool:
    """Tell whether anything is left; not known to be nothing is some."""
    if clip.end is None:
        return True
    start, end = _rest(clip, spec, clip.end)
    return end > start


def extent(clip: Clip, spec: Excluding) -> tuple[float, float]:
    """Give start and end of what is left, in seconds on the clip's clock.

    All of the video where nothing would be left. The clip's end must be known.
    """
    whole = clip.end or 0.0
    start, end = _rest(clip, spec, whole)
    return (start, end) if end > start else (clip.begin, whole)


def _rest(clip: Clip, spec: Excluding, whole: float) -> tuple[float, float]:
    left_out = spec.exclude_end
    share = isinstance(left_out, str) and left_out.endswith("%")
    start = clip.at(spec.exclude_start)
    return start, whole - (clip.at(left_out) - (clip.begin if share else 0.0))
