"""A source whose bytes come from another file when they are asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

_BLOCK = 4096


class HoledFile:
    """A copy of a file in which everything is missing at first.

    ``ensure`` fills whole blocks, and counts their bytes in ``bytes``.
    """

    complete = False

    def __init__(self, original: Path, path: Path) -> None:
        self.path = path
        self.size = original.stat().st_size
        self._original = original
        self._lock = threading.Lock()
        self._there: set[int] = set()
        with path.open("wb") as file:
            file.truncate(self.size)

    @property
    def bytes(self) -> int:
        """The bytes that were fetched."""
        return min(len(self._there) * _BLOCK, self.size)

    def ensure_all(self, spans: Iterable[tuple[int, int]]) -> None:
        """Copy what is missing of several ranges."""
        for span in spans:
            self.ensure(*span)

    def ensure(self, start: int, end: int) -> None:
        """Copy the blocks that are missing of the bytes from ``start`` to ``end``."""
        blocks = range(start // _BLOCK, -(-min(end, self.size) // _BLOCK))
        with (
            self._lock,
            self._original.open("rb") as original,
            self.path.open("r+b") as file,
        ):
            for block in self._there.symmetric_difference(blocks) & set(blocks):
                data = os.pread(original.fileno(), _BLOCK, block * _BLOCK)
                os.pwrite(file.fileno(), data, block * _BLOCK)
            self._there.update(blocks)
