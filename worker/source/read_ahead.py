"""How much more than a program asked for is fetched, when it reads on. Pure.

A program that seeks needs a little at each place, so a first miss fetches no more than
``least``. Misses that continue each other come from a program that reads through: each
doubles what is fetched. Once that is large, the next stretch is fetched before the
program reaches the end of the last.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from worker.source.block_map import Run

# A file whose sound and picture lie apart is read at two places in turn; some more keep
# a place that is left for a moment, as for an index.
_PLACES = 4
# An index at the end is read to its end. It is fetched at once if it lies in so small a
# share of the file.
_END_SHARE = 1 / 256


@dataclass
class _Place:
    """Where a program reads on; ``end`` is the block after the last that was wanted."""

    end: int
    window: int


class ReadAhead:
    """Widens what is missing of a file of ``blocks`` blocks.

    All are numbers of blocks: what is fetched is ``least`` at first and ``most`` in the
    end; from ``early`` on, the next stretch is fetched before it is needed.
    """

    def __init__(self, blocks: int, *, least: int, early: int, most: int) -> None:
        self._blocks = blocks
        self._least, self._early, self._most = least, early, most
        self._places: deque[_Place] = deque(maxlen=_PLACES)

    def miss(self, run: Run) -> Run:
        """Return what to fetch where ``run`` was asked for and is not there."""
        place = self._place(run)
        if place is None:
            place = _Place(run[0], self._least)
            self._places.append(place)
        else:
            place.window = min(place.window * 2, self._most)
        place.end = min(max(run[1], run[0] + place.window), self._blocks)
        if self._blocks - run[0] <= min(self._most, self._blocks * _END_SHARE):
            place.end = self._blocks
        return run[0], place.end

    def hit(self, run: Run) -> Run | None:
        """Return what to fetch early where ``run`` was asked for and is there."""
        place = self._place(run)
        if place is None or place.window < self._early or place.end >= self._blocks:
            return None
        if run[1] <= place.end - place.window // 2:
            return None
        place.window = min(place.window * 2, self._most)
        begin, place.end = place.end, min(place.end + place.window, self._blocks)
        return begin, place.end

    def _place(self, run: Run) -> _Place | None:
        """Return the place that ``run`` continues: it begins in or near its end."""
        for place in self._places:
            if place.end - place.window <= run[0] <= place.end + place.window:
                return place
        return None
