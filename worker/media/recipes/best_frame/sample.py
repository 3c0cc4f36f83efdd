"""A small sample of a frame, and the comparison of two of them.

A sample (:data:`SAMPLE_BYTES` bytes of 8 bits, full range) holds three views of a
frame, one above the other. *Points* are the luma of single pixels of the frame,
:data:`POINTS` of them: they keep its edges and its noise. *Near* are the pixels a
little to the right of them (:func:`nearness`): what changes within so few pixels is
sharp. *Cells* are the means of :data:`CELLS` areas, Y, U and V side by side: they show
light, colour and movement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from worker.media.recipes.best_frame import grey_planes
from worker.media.recipes.best_frame.texture import (
    Focus,
    Texture,
    read_focus,
    read_texture,
)

POINTS = (96, 54)
CELLS = (32, 18)
_NEAR_AT = POINTS[0] * POINTS[1]
_CELLS_AT = 2 * _NEAR_AT
SAMPLE_BYTES = _CELLS_AT + 3 * CELLS[0] * CELLS[1]
_NEAR_SHARE = 320
_FAR = 3.3


@dataclass(frozen=True)
class Sample:
    """A small frame: ``time`` in seconds, ``window`` the run of frames it belongs to.

    ``sought`` is the seek that led to it, in seconds; None if there was none. ``width``
    is the frame's, in pixels.
    """

    time: float
    data: bytes = field(repr=False)
    window: int = 0
    sought: float | None = None
    width: int = 640

    @cached_property
    def cells(self) -> tuple[bytes, bytes, bytes]:
        """Return the cells' Y, U and V."""
        rows = range(_CELLS_AT, SAMPLE_BYTES, 3 * CELLS[0])
        y, u, v = (
            b"".join(self.data[at + k : at + k + CELLS[0]] for at in rows)
            for k in range(0, 3 * CELLS[0], CELLS[0])
        )
        return y, u, v

    @property
    def light(self) -> bytes:
        """Return the cells' Y."""
        return self.cells[0]

    @cached_property
    def gist(self) -> bytes:
        """Return a quarter of the cells' Y, for quick comparisons."""
        width, height = CELLS
        rows = range(0, width * height, 2 * width)
        return b"".join(self.light[at : at + width : 2] for at in rows)

    @cached_property
    def strip(self) -> grey_planes.Plane:
        """Return the cells' Y, U and V side by side."""
        return grey_planes.plane(self.data[_CELLS_AT:], 3 * CELLS[0])

    @cached_property
    def points(self) -> grey_planes.Plane:
        """Return the points' luma."""
        return grey_planes.plane(self.data[:_NEAR_AT], POINTS[0])

    @cached_property
    def near(self) -> grey_planes.Plane:
        """Return the luma of the pixels near the points."""
        return grey_planes.plane(self.data[_NEAR_AT:_CELLS_AT], POINTS[0])

    @cached_property
    def focus(self) -> Focus:
        """Return how sharp its edges are."""
        return read_focus(self.points, self.near, *farness(self.width))

    @cached_property
    def texture(self) -> Texture:
        """Return the measures of its points."""
        return read_texture(self.points, self.near)

    @cached_property
    def even(self) -> float:
        """Return the share of cells that are as light as those beside and below."""
        return grey_planes.even_share(grey_planes.plane(self.light, CELLS[0]))


def nearness(width: int) -> int:
    """Return the pixels between a point and the one near it: even, 1 in 320."""
    return 2 * max(1, round(width / (2 * _NEAR_SHARE)))


def farness(width: int) -> tuple[int, float]:
    """Return how many points away the far one is, and the share that near is of it."""
    far = 1
    apart = width / POINTS[0]
    while far * apart < _FAR * nearness(width) and far < POINTS[0] // 4:
        far += 1
    return far, nearness(width) / (far * apart)


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to ``low``, 1 from ``high``, and a straight line between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def difference(a: Sample, b: Sample) -> float:
    """Return how different two frames are: 0 equal, 1 opposite in all values."""
    return grey_planes.mean(grey_planes.difference_histogram(a.strip, b.strip)) / 255
