"""Requests that wait for a job's end, and their answers: accepted, or shown.

Few wait at a time, so that others get a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Generic, Protocol, TypeVar

from flask import Response, request

from api.http import headers
from api.http.json_body import Document, json_response
from common.errors import NotFound
from common.jobs.store import JobVersion
from common.model import JOB_ENDED, BatchRecord, JobRecord, JobStatus

POLL_SECONDS = 1
_KEEP_AND_ASK = "private, no-cache"
Waited = TypeVar("Waited", JobRecord, BatchRecord)


class LinksView(Protocol):
    """The links of a view."""

    @property
    def self(self) -> str:
        """Return the address of the view itself."""


class EndingView(Document, Protocol):
    """The view of a job or of a batch."""

    @property
    def status(self) -> JobStatus:
        """Return its status."""

    @property
    def links(self) -> LinksView:
        """Return its links."""


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


@dataclass(frozen=True)
class Answers(Generic[Waited]):
    """Answers with a job or a batch, after the wait that a request prefers.

    ``wait`` gets the record's id and the seconds to wait for its end, and returns None
    for one that was deleted meanwhile. ``present`` returns the view of a record, and
    ``tag`` the ETag of that view, by the record's id and version; without it the ETag
    is a digest of the answer.
    """

    slots: LongPollSlots
    wait: Callable[[str, float], Waited | None]
    present: Callable[[Waited], EndingView]
    tag: Callable[[str, int], str] | None = None

    def accepted(self, record: Waited) -> Response:
        """Return 202 with the view and its address, or 200 once the wait saw its end.

        Raises NotFound for a record that is deleted during the wait.
        """
        applied, record = self._wait_for_end(record)
        view = self.present(record)
        ended = applied is not None and view.status in JOB_ENDED
        response = _document(view, 200 if ended else 202, applied)
        response.headers["Location"] = view.links.self
        return response

    def shown(self, record: Waited) -> Response:
        """Return 200 or 304 with the view, or 202 where the wait did not see its end.

        Raises NotFound for a record that is deleted during the wait.
        """
        applied, record = self._wait_for_end(record)
        view = self.present(record)
        requested = headers.wait_seconds(request) is not None
        open_end = requested and view.status not in JOB_ENDED
        response = _document(view, 202 if open_end else 200, applied)
        if self.tag is None:
            response.add_etag()
        else:
            response.set_etag(self.tag(record.id, record.version))
        response.headers["Cache-Control"] = _KEEP_AND_ASK
        if not open_end:
            response.make_conditional(request)
        return response

    def unchanged(self, kept: JobVersion) -> Response | None:
        """Return 304 if the caller has the view of that version, None otherwise."""
        tag = None if self.tag is None else self.tag(kept.id, kept.version)
        if tag is None or not request.if_none_match.contains_weak(tag):
            return None
        response = Response(status=304, headers={"Cache-Control": _KEEP_AND_ASK})
        response.set_etag(tag)
        _advise(response, kept.status)
        return response

    def _wait_for_end(self, record: Waited) -> tuple[int | None, Waited]:
        """Return the seconds granted (``Prefer: wait=N``) and the record after them.

        The seconds are None without such a preference, or while all slots are taken.
        """
        seconds = headers.wait_seconds(request)
        if seconds is None or seconds == 0 or record.status in JOB_ENDED:
            return seconds, record
        with self.slots.place() as got:
            if not got:
                return None, record
            ended = self.wait(record.id, seconds)
        if ended is None:
            raise NotFound(f"{record.id} was deleted while this request waited for it")
        return seconds, ended


def asks_for_change() -> bool:
    """Return whether the request has an ETag, and wants no wait."""
    return bool(request.if_none_match) and headers.wait_seconds(request) is None


def _document(view: EndingView, status: int, applied: int | None) -> Response:
    response = json_response(view, status)
    _advise(response, view.status)
    if applied is not None:
        response.headers["Preference-Applied"] = f"wait={applied}"
    return response


def _advise(response: Response, status: JobStatus) -> None:
    if status not in JOB_ENDED:
        response.headers["Retry-After"] = str(POLL_SECONDS)
