"""Distinguish shots from transitions: fades, dissolves, pans, flashes, cuts.

Three signs are read from samples in order of time. A frame that differs from both of
its neighbours is in a quick transition or is a flash. A frame that is the mean of an
earlier and a later one, which differ, is in a fade or a dissolve: moving things do not
change in a straight line. And a frame beside a cut is a worse choice than one in the
middle of its shot.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import dist, sqrt

from worker.media.recipes.best_frame import grey_planes
from worker.media.recipes.best_frame.sample import Sample, difference, ramp

_REACH = 4
_LONGEST = 20.0
_FLAT = 0.15
# A smaller share of a mix is noise.
_TRACE = 0.05
_CUT = 0.06
_CALMER = 0.35


def calmness(samples: Sequence[Sample]) -> list[float]:
    """Return for each sample how certainly it lies within a shot, 0 to 1.

    ``samples`` are in order of window and time; windows do not touch each other.
    """
    if not samples:
        return []
    pairs = list(pairwise(samples))
    apart = [difference(a, b) for a, b in pairs]
    steps = [
        step if a.window == b.window else None
        for (a, b), step in zip(pairs, apart, strict=True)
    ]
    moves = [
        [step for step in pair if step is not None]
        for pair in zip([None, *steps], [*steps, None], strict=True)
    ]
    usual = _usual([max(pair, default=0.0) for pair in moves])
    alone = [
        _quiet(pair, usual) * (1 - 0.7 * mixed)
        for pair, mixed in zip(moves, _blends(samples), strict=True)
    ]
    cuts = [
        (a.time + b.time) / 2
        for (a, b), step in zip(pairs, steps, strict=True)
        if step is not None and step > max(_CUT, 3 * usual)
    ]
    same = [step < _CUT for step in apart]
    midst = [
        0.95 + 0.025 * sum(pair)
        for pair in zip([False, *same], [*same, False], strict=True)
    ]
    return [
        _beside(samples, alone, at) * _away_from(cuts, sample.time) * midst[at]
        for at, sample in enumerate(samples)
    ]


def _usual(steps: list[float]) -> float:
    """Return the usual step of the calmer part of the clip, where the shots are."""
    return sorted(steps)[int(_CALMER * len(steps))]


def _quiet(move: list[float], usual: float) -> float:
    limit = 0.03 + 1.2 * min(usual, 0.08)
    return 1 - 0.85 * ramp(min(move, default=0.0), limit, 3 * limit)


def _blends(samples: Sequence[Sample]) -> list[float]:
    """Return how much each frame looks like a mix of an earlier and a later one.

    Pictures are compared without their mean light, which would dominate: beside black,
    any two would be alike.
    """
    lights = [sample.gist for sample in samples]
    means, spreads = zip(*map(grey_planes.moments, lights), strict=True)
    apart = {
        (one, other): dist(lights[one], lights[other]) ** 2 / len(lights[one])
        - (means[one] - means[other]) ** 2
        for one in range(len(samples))
        for other in range(one + 1, min(len(samples), one + 2 * _REACH + 1))
    }
    worst = [0.0] * len(samples)
    for (one, other), line in apart.items():
        able = _able(spreads[one] ** 2, spreads[other] ** 2, line)
        if samples[other].time - samples[one].time > _LONGEST:
            continue
        for at in range(max(one + 1, other - _REACH), min(other, one + _REACH + 1)):
            if able > worst[at]:
                mixed = able * _mix(apart[one, at], apart[at, other], line)
                worst[at] = max(worst[at], mixed)
    return [ramp(mixed, _TRACE, 1) for mixed in worst]


def _mix(before: float, after: float, line: float) -> float:
    """Return how much a frame is a mix, from squared distances to and between ends.

    A mix lies on the straight line between the ends; ``off`` is how far from it the
    frame is, in lengths of the line, and ``share`` how much of the earlier end it has.
    """
    share = (after + line - before) / (2 * line)
    off = sqrt(max(0.0, after - share * share * line) / line)
    return ramp(min(share, 1 - share), 0.1, 0.3) * (1 - ramp(off, 0.17, 0.38))


def _able(one: float, other: float, line: float) -> float:
    """Return how likely two frames are the ends of a dissolve or a fade.

    Two frames of one scene that only differ in light are not: flicker lies between
    them. ``one`` and ``other`` are their variances.
    """
    moved = ramp(sqrt(line), 4, 12)
    if not moved or min(one, other) < _FLAT * max(one, other):
        return moved
    alike = (one + other - line) / (2 * sqrt(one * other))
    return moved * (1 - ramp(alike, 0.75, 0.9))


def _beside(samples: Sequence[Sample], alone: list[float], at: int) -> float:
    """Return a frame's factor mixed with its neighbours': sampling is coarse."""
    near = [
        alone[other]
        for other in (at - 1, at, at + 1)
        if 0 <= other < len(samples) and samples[other].window == samples[at].window
    ]
    return 0.6 * alone[at] + 0.4 * min(near)


def _away_from(cuts: list[float], time: float) -> float:
    nearest = min((abs(cut - time) for cut in cuts), default=1.0)
    return 0.85 + 0.15 * ramp(nearest, 0.0, 0.8)
