"""A small sample of a frame, and how far two of them are apart.

A sample (:data:`SAMPLE_BYTES` bytes, planar 4:4:4 YUV in full range) holds two
views of a frame, one above the other. *Points* are single pixels of the frame,
:data:`POINTS` of them: they keep its edges and its noise. *Cells* are the means of
:data:`CELLS` areas: they tell light, colour and movement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from operator import sub

POINTS = (96, 54)
CELLS = (32, 18)
_ROWS = POINTS[1] + CELLS[1]
_PLANE = POINTS[0] * _ROWS
SAMPLE_BYTES = 3 * _PLANE
_THIN = 3


@dataclass(frozen=True)
class Sample:
    """A small frame: ``time`` in seconds, ``window`` the run of frames it is of.

    ``sought`` is the seek that led to it, in seconds; None when there was none.
    """

    time: float
    data: bytes = field(repr=False)
    window: int = 0
    sought: float | None = None

    def _cells(self, plane: int) -> bytes:
        rows = range(POINTS[1], _ROWS)
        starts = (plane * _PLANE + row * POINTS[0] for row in rows)
        return b"".join(self.data[at : at + CELLS[0]] for at in starts)

    @cached_property
    def cells(self) -> tuple[bytes, bytes, bytes]:
        """Give the cells' Y, U and V."""
        return self._cells(0), self._cells(1), self._cells(2)

    @property
    def points(self) -> bytes:
        """Give the points' luma, row by row."""
        return self.data[: POINTS[0] * POINTS[1]]

    @cached_property
    def thin(self) -> bytes:
        """Give a third of the cells' luma and chroma, for quick comparisons."""
        return b"".join(plane[::_THIN] for plane in self.cells)

    @cached_property
    def gist(self) -> bytes:
        """Give a ninth of the cells' luma and chroma, to tell how typical it is."""
        return self.thin[::_THIN]


def ramp(value: float, low: float, high: float) -> float:
    """Give 0 up to ``low``, 1 from ``high``, and a straight line between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def difference(a: Sample, b: Sample) -> float:
    """Give how far two frames are apart: 0 equal, 1 all values at the other end."""
    total = sum(map(abs, map(sub, a.thin, b.thin)))
    return float(total) / (255 * len(a.thin))
