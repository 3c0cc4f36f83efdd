"""What the single pixels of a small sample tell: sharpness, grain, tears, evenness.

Pure Python, about a millisecond a sample: Euclidean distances of byte strings are
computed by :func:`math.dist`, in C.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from math import dist
from operator import sub
from statistics import median

from worker.media.recipes.sample import POINTS, Sample, farness

_LEVELS = 256
_BAND = 6
_EVEN = 0.5


@dataclass(frozen=True)
class Texture:
    """What the points tell about a frame.

    ``edges`` is the step that 5 % of neighbouring points exceed (0 to 255),
    ``strokes`` the one that 1 % do (letters on a card),
    ``smooth`` the share of neighbours that are alike, ``kinship`` the correlation
    of neighbours (1: a picture, 0: noise), ``grain`` the step that 75 % of pixels
    near each other exceed (even in the smooth parts of a picture), ``dominance``
    the share of the most frequent narrow band of luma, ``tear`` the row where the
    picture breaks and how sharply (times the usual row step; 0 when nowhere).
    """

    edges: float
    strokes: float
    smooth: float
    kinship: float
    grain: float
    dominance: float
    tear: tuple[int, float]


def read_texture(sample: Sample) -> Texture:
    """Measure the points of a sample: every second row across, column down."""
    width = POINTS[0]
    rows, near = _rows(sample.points), _rows(sample.near)
    across = Counter(map(abs, map(sub, rows[1:], rows)))
    fine = Counter(map(abs, map(sub, near, rows)))
    columns = sample.points[::2]
    down = list(map(abs, map(sub, columns[width // 2 :], columns)))
    many = len(rows)
    return Texture(
        _upper(across, 0.05 * many),
        _upper(across, 0.01 * many),
        (across[0] + across[1]) / many,
        _kinship(rows, width),
        _upper(fine, 0.75 * many),
        _dominance(rows),
        _tear(down, width // 2),
    )


def focus(sample: Sample) -> float:
    """Give how sharp the edges are: 0 blurred, 0.1 to 0.5 a picture, 1 noise.

    A blurred edge changes evenly, so that within a fraction of a distance only that
    fraction of its step is seen; at a sharp edge all of it is, where it lies.
    """
    far, share = farness(sample.width)
    points, near = sample.points, sample.near
    steps = dist(points[far:], points[:-far]) ** 2 + _EVEN * len(points)
    return float((dist(near, points) / steps**0.5 - share) / (1 - share))


def kinship(values: bytes, width: int) -> float:
    """Give how alike neighbours are: 1 even or a gradient, 0 noise.

    It is the correlation of neighbours across or down, whichever is less.
    """
    return _kinship(values, width)


def _rows(points: bytes) -> bytes:
    width = POINTS[0]
    return b"".join(points[at : at + width] for at in range(0, len(points), 2 * width))


def _kinship(values: bytes, width: int) -> float:
    many = len(values)
    mean = sum(values) / many
    power = dist(values, [mean] * many) ** 2 / many
    if power <= 1:
        return 1.0
    worst = max(
        dist(values[step:], values[:-step]) ** 2 / (many - step) for step in (1, width)
    )
    return float(1 - worst / (2 * power))


def _upper(counts: Counter[int], wanted: float) -> float:
    seen = 0
    for step in sorted(counts, reverse=True):
        seen += counts[step]
        if seen >= wanted:
            return float(step)
    return 0.0


def _dominance(points: bytes) -> float:
    counts = Counter(points)
    below = [0, *accumulate(counts[level] for level in range(_LEVELS))]
    most = max(map(sub, below[_BAND:], below))
    return most / len(points)


def _tear(down: list[int], width: int) -> tuple[int, float]:
    rows = [sum(down[at : at + width]) / width for at in range(0, len(down), width)]
    usual = median(rows) + 2
    inner = range(len(rows) // 8, len(rows) - len(rows) // 8)
    row = max(inner, key=rows.__getitem__)
    return row, rows[row] / usual if rows[row] > 14 else 0.0
