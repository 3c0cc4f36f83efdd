"""Find what is left of a clip when a spec excludes its ends."""

from __future__ import annotations

from typing import Protocol

from worker.media.ffmpeg.clip import Clip


class Excluding(Protocol):
    """A spec that excludes the ends."""

    @property
    def exclude_start(self) -> float | str:
        """Return the time excluded at the start."""

    @property
    def exclude_end(self) -> float | str:
        """Return the time excluded at the end."""


def leaves_some(clip: Clip, spec: Excluding) -> bool:
    """Return True if any of the clip remains; an unknown length counts as remaining."""
    if clip.end is None:
        return True
    start, end = _rest(clip, spec, clip.end)
    return end > start


def extent(clip: Clip, spec: Excluding) -> tuple[float, float]:
    """Return start and end of what is left, in seconds on the clip's clock.

    The whole video if nothing would be left. The clip's end must be known.
    """
    whole = clip.end or 0.0
    start, end = _rest(clip, spec, whole)
    return (start, end) if end > start else (clip.begin, whole)


def _rest(clip: Clip, spec: Excluding, whole: float) -> tuple[float, float]:
    left_out = spec.exclude_end
    share = isinstance(left_out, str) and left_out.endswith("%")
    start = clip.at(spec.exclude_start)
    return start, whole - (clip.at(left_out) - (clip.begin if share else 0.0))
