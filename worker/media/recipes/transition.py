"""Tell a shot from what lies between shots: fades, dissolves, pans, flashes, cuts.

Three signs are read from samples in order of time. A frame that differs from both
of its neighbours is in a quick transition or is a flash. A frame that is the mean
of an earlier and a later one, which differ, is in a fade or a dissolve: moving
things do not change in a straight line. And a frame beside a cut is a worse choice
than one in the midst of its shot.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import sub

from worker.media.recipes.sample import Sample, difference, ramp

_REACHES = (1, 2, 4)
_CUT = 0.06
_CALMER = 0.35


def calmness(samples: Sequence[Sample]) -> list[float]:
    """Give for each sample how surely it lies within a shot, 0 to 1.

    ``samples`` are in order of window and time; windows do not touch each other.
    """
    if not samples:
        return []
    steps = [
        difference(a, b) if a.window == b.window else None for a, b in pairwise(samples)
    ]
    moves = [
        [step for step in pair if step is not None]
        for pair in zip([None, *steps], [*steps, None], strict=True)
    ]
    usual = _usual([max(pair, default=0.0) for pair in moves])
    alone = [
        _quiet(pair, usual) * (1 - 0.7 * _blended(samples, at))
        for at, pair in enumerate(moves)
    ]
    cuts = [
        (a.time + b.time) / 2
        for (a, b), step in zip(pairwise(samples), steps, strict=True)
        if step is not None and step > max(_CUT, 3 * usual)
    ]
    return [
        _beside(samples, alone, at) * _clear_of(cuts, sample.time)
        for at, sample in enumerate(samples)
    ]


def _usual(steps: list[float]) -> float:
    """Give the step of the calmer part of the clip, in which the shots are."""
    return sorted(steps)[int(_CALMER * len(steps))]


def _quiet(move: list[float], usual: float) -> float:
    limit = 0.03 + 1.2 * min(usual, 0.08)
    return 1 - 0.85 * ramp(min(move, default=0.0), limit, 3 * limit)


def _blended(samples: Sequence[Sample], at: int) -> float:
    """Give how much the frame looks like a mix of an earlier and a later one."""
    worst = 0.0
    here = samples[at]
    for reach in _REACHES:
        if at < reach or at + reach >= len(samples):
            break
        before, after = samples[at - reach], samples[at + reach]
        if not before.window == here.window == after.window:
            break
        forth = list(map(sub, here.thin, before.thin))
        back = list(map(sub, after.thin, here.thin))
        bend = sum(map(abs, map(sub, back, forth)))
        change = sum(map(abs, map(sub, after.thin, before.thin)))
        moved = change / (255 * len(here.thin))
        straight = 1 - ramp(bend / change, 0.35, 0.75) if change else 0.0
        worst = max(worst, straight * ramp(moved, 0.008, 0.025))
    return worst


def _beside(samples: Sequence[Sample], alone: list[float], at: int) -> float:
    """Let a frame share its neighbours' faults: their time is sampled coarsely."""
    near = [
        alone[other]
        for other in (at - 1, at, at + 1)
        if 0 <= other < len(samples) and samples[other].window == samples[at].window
    ]
    return 0.6 * alone[at] + 0.4 * min(near)


def _clear_of(cuts: list[float], time: float) -> float:
    nearest = min((abs(cut - time) for cut in cuts), default=1.0)
    return 0.85 + 0.15 * ramp(nearest, 0.0, 0.8)
