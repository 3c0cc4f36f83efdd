"""Requests that wait for a job's end, and their answers: accepted, or shown.

Few wait at a time, so that others get a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Protocol, TypeVar

from flask import Response, request

from api.http import headers
from api.http.json_body import Document, json_response
from common.errors import NotFound
from common.model import JOB_ENDED, BatchRecord, JobRecord, JobStatus

POLL_SECONDS = 1
Waited = TypeVar("Waited", JobRecord, BatchRecord)


class EndingView(Document, Protocol):
    """The view of a job or of a batch."""

    @property
    def status(self) -> JobStatus:
        """Return its status."""


class LongPollSlots:
    """Lets at most ``places`` requests wait at once."""

    def __init__(self, places: int) -> None:
        self._places = BoundedSemaphore(max(1, places))

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Yield whether a place is free, and keep it taken during the block."""
        got = self._places.acquire(blocking=False)
        try:
            yield got
        finally:
            if got:
                self._places.release()


def wait_for_end(
    slots: LongPollSlots, record: Waited, wait: Callable[[str, float], Waited | None]
) -> tuple[int | None, Waited]:
    """Wait for a record's end as long as the request prefers (``Prefer: wait=N``).

    Returns the seconds that were granted and the record as it is then; None without
    such a preference, or while all ``slots`` are taken. ``wait`` gets the record's id
    and the seconds, and returns None for one that was deleted: that raises NotFound.
    """
    seconds = headers.wait_seconds(request)
    if seconds is None or seconds == 0 or record.status in JOB_ENDED:
        return seconds, record
    with slots.place() as got:
        if not got:
            return None, record
        ended = wait(record.id, seconds)
    if ended is None:
        raise NotFound(f"{record.id} was deleted while this request waited for it")
    return seconds, ended


def accepted_response(view: EndingView, address: str, applied: int | None) -> Response:
    """Return 202 with the view of a job or batch, or 200 once the wait saw its end.

    ``address`` goes into Location; ``applied`` is the wait that was granted, or None.
    """
    ended = applied is not None and view.status in JOB_ENDED
    response = _document(view, 200 if ended else 202, applied)
    response.headers["Location"] = address
    return response


def shown_response(view: EndingView, applied: int | None) -> Response:
    """Return 200 or 304 with the view, or 202 where the wait did not see its end."""
    requested = headers.wait_seconds(request) is not None
    open_end = requested and view.status not in JOB_ENDED
    response = _document(view, 202 if open_end else 200, applied)
    response.add_etag()
    response.headers["Cache-Control"] = "private, no-cache"
    if not open_end:
        response.make_conditional(request)
    return response


def _document(view: EndingView, status: int, applied: int | None) -> Response:
    response = json_response(view, status)
    if view.status not in JOB_ENDED:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    if applied is not None:
        response.headers["Preference-Applied"] = f"wait={applied}"
    return response
