"""Measure single pixels of a sample: sharpness, grain, tears, evenness."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import sqrt
from operator import sub
from statistics import median
from typing import NamedTuple

from worker.media.recipes.best_frame import grey_planes
from worker.media.recipes.best_frame.grey_planes import Plane

_BAND = 6
_EVEN = 0.5
_TORN = 14


class Focus(NamedTuple):
    """How sharp the edges are, and how alike pixels near each other are.

    ``sharp`` is 0 for blurred, 0.1 to 0.5 for a picture, 1 for noise. ``alike`` is a
    correlation: 1 even or a gradient, 0.7 a picture, 0.3 text, 0 noise.
    """

    sharp: float
    alike: float


@dataclass(frozen=True)
class Texture:
    """The measures of a frame's points.

    ``edges`` is the step that 5 % of neighbouring points exceed (0 to 255), ``strokes``
    the one that 1 % do (letters on a card), ``smooth`` the share of neighbours that are
    alike, ``grain`` the step that 75 % of pixels near each other exceed (even in the
    smooth parts of a picture), ``dominance`` the share of the most frequent narrow band
    of luma, ``tear`` the row where the picture breaks and how sharply (times the usual
    row step; 0: nowhere).
    """

    edges: float
    strokes: float
    smooth: float
    grain: float
    dominance: float
    tear: tuple[int, float]


def read_texture(points: Plane, near: Plane) -> Texture:
    """Measure points and the pixels near them."""
    across = grey_planes.differences(points, across=1).histogram()
    return Texture(
        grey_planes.upper_quantile(across, 0.05),
        grey_planes.upper_quantile(across, 0.01),
        grey_planes.share_up_to(across, 1),
        grey_planes.upper_quantile(
            grey_planes.difference_histogram(points, near), 0.75
        ),
        _dominance(points),
        _tear(points),
    )


def read_focus(points: Plane, near: Plane, far: int, share: float) -> Focus:
    """Compare the steps to the pixels near with those to the points ``far`` away.

    A blurred edge changes evenly, so that within a ``share`` of that distance only that
    share of its step is seen. At a sharp edge, all of the step is.
    """
    step = grey_planes.mean_square(grey_planes.difference_histogram(points, near))
    steps = (
        grey_planes.mean_square(grey_planes.differences(points, across=far).histogram())
        + _EVEN
    )
    counts = points.histogram()
    power = grey_planes.mean_square(counts) - grey_planes.mean(counts) ** 2
    alike = 1 - step / (2 * power) if power > 1 else 1.0
    return Focus((sqrt(step / steps) - share) / (1 - share), alike)


def _dominance(points: Plane) -> float:
    below = [0, *accumulate(points.histogram())]
    return float(max(map(sub, below[_BAND:], below)) / below[-1])


def _tear(points: Plane) -> tuple[int, float]:
    """Return the row with the largest steps, and its ratio to the usual row's."""
    rows = grey_planes.row_means(grey_planes.differences(points, down=1))
    usual = median(rows) + 5
    inner = range(len(rows) // 8, len(rows) - len(rows) // 8)
    row = max(inner, key=rows.__getitem__)
    return row, rows[row] / usual if rows[row] > _TORN else 0.0
