"""Requests that wait for a job's end: few at a time, so that others get a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore


class LongPollSlots:
    """At most ``places`` requests wait at once."""

    def __init__(self, places: int) -> None:
        self._places = BoundedSemaphore(max(1, places))

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Take a place for the block; false when all are taken."""
        got = self._places.acquire(blocking=False)
        try:
            yield got
        finally:
            if got:
                self._places.release()
