"""Histories of jobs as server-sent events: of one job, or of all jobs of a page.

A stream holds one of the sending threads (``FRAMEMILL_API_TRANSFERS``), a quarter of
which are for streams; other callers get 429 and poll. It ends with its last job.
Events carry the store's ids, so a client that returns with ``Last-Event-ID`` misses
nothing; ``progress`` events have no id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import structlog
from flask import Blueprint, Response, request

from api.http import headers
from api.http.headers import check_id
from api.http.services import Services
from common.errors import NotFound, StoreUnavailable, TooManyRequests
from common.jobs.store import JobStore, JobVersion, check_event_id, order_of
from common.model import JOB_ENDED, Event
from common.runtime import Runtime
from common.timestamps import rfc3339

HEARTBEAT_SECONDS = 15.0
RECONNECT_MILLISECONDS = 2000
BUSY_SECONDS = 5
LOOK_SECONDS = 1.0
LONGEST_SECONDS = 3600.0
MOST_FOLLOWED = 50
_PAGE = 100
_BEGINNING, _LAST_NUMBER = "0-0", 2**64 - 1

log = structlog.get_logger(__name__)


def blueprint(services: Services) -> Blueprint:
    """Return the routes; ``event_streams`` caps the streams."""
    runtime = services.runtime
    routes = Blueprint("stream", __name__, url_prefix="/v1")

    @routes.get("/jobs/<job_id>/events")
    def events(job_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("read").owner
        job = runtime.jobs.get(check_id(job_id), owner)
        after = request.headers.get("Last-Event-ID") or None
        # An impossible id is refused here, while there is still a status to send.
        missed = runtime.store.events(job.id, after, 1)
        if after and not missed and job.status in JOB_ENDED:
            return Response(status=204)  # EventSource takes it as: do not come back
        return stream(services, {job.id: after or _BEGINNING})

    @routes.get("/events")
    def events_of_many() -> Response:
        with headers.Query(request) as query:
            ids = query.ids("jobs", MOST_FOLLOWED)
        owner = services.enter("read").owner
        return _stream_many(services, ids, owner)

    return routes


def _stream_many(services: Services, ids: Sequence[str], owner: str) -> Response:
    store = services.runtime.store
    after = resumed(request.headers.get("Last-Event-ID") or None)
    found = store.versions(ids)
    visible = [one for one in ids if (job := found[one]) and job.owner == owner]
    if not visible:
        raise NotFound("none of these jobs exists", hint="GET /v1/jobs lists them")
    places = dict.fromkeys(visible, after)
    ended = all((job := found[one]) and job.status in JOB_ENDED for one in visible)
    if after != _BEGINNING and ended and not store.news(places, 1):
        return Response(status=204)
    gone = [one for one in ids if one not in places]
    return stream(services, places, gone)


def resumed(last_id: str | None) -> str:
    """Return the place in all histories from which a page goes on.

    Two jobs may have an event in the same millisecond, so those of the last one are
    sent again. Raises Invalid for an id that no event can have.
    """
    if last_id is None:
        return _BEGINNING
    check_event_id(last_id)
    millisecond = int(last_id.partition("-")[0])
    return f"{max(0, millisecond - 1)}-{_LAST_NUMBER}"


def stream(
    services: Services, places: Mapping[str, str], gone: Sequence[str] = ()
) -> Response:
    """Answer with the events of jobs after a place in the history of each.

    ``gone`` are jobs that do not exist. Raises TooManyRequests when all streams are
    taken.
    """
    with ExitStack() as stack:
        if not stack.enter_context(services.event_streams.place()):
            raise TooManyRequests(
                "this server has no free event stream",
                retry_after=BUSY_SECONDS,
                hint=f"poll GET /v1/jobs/{next(iter(places))}, or try again later",
            )
        lines = _stream(services.runtime, dict(places), gone)
        response = Response(lines, mimetype="text/event-stream")
        # The place is freed when the stream ends, even if it never began.
        response.call_on_close(stack.pop_all().close)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _stream(
    runtime: Runtime, places: dict[str, str], gone: Sequence[str]
) -> Iterator[str]:
    try:
        yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
        for job_id in gone:
            yield _message("job.deleted", {"job_id": job_id})
        yield from _follow(runtime, places)
    except StoreUnavailable as error:
        # The client reconnects by itself, with the last id it has seen.
        log.warning("stream.cut", jobs=len(places), code=error.code)


def _follow(runtime: Runtime, places: dict[str, str]) -> Iterator[str]:
    """Yield what happens to jobs until all have ended; moves their ``places``."""
    followed = _Followed(runtime.store, places)
    began = spoken = time.monotonic()
    while time.monotonic() - began < LONGEST_SECONDS:
        lines = followed.look()
        yield from lines
        if not places:
            return
        if lines:
            spoken = time.monotonic()
            continue
        if time.monotonic() - spoken >= HEARTBEAT_SECONDS:
            yield ": alive\n\n"
            spoken = time.monotonic()
        runtime.store.news(places, 1, LOOK_SECONDS)


class _Followed:
    """The jobs of a stream; those that have ended leave ``places``."""

    def __init__(self, store: JobStore, places: dict[str, str]) -> None:
        self._store = store
        self._places = places
        self._versions: dict[str, int] = {}
        self._sent: dict[str, float] = {}

    def look(self) -> list[str]:
        """Return what has happened since the last look."""
        # The jobs are read first: an end that one shows is then in its history.
        now = self._store.versions(list(self._places))
        found = self._store.news(self._places, _PAGE)
        lines = [*_in_order(found, self._places)]
        for job_id, job in now.items():
            page = found.get(job_id, ())
            if job is None:
                del self._places[job_id]
                lines.append(_message("job.deleted", {"job_id": job_id}))
            elif job.status not in JOB_ENDED:
                lines += self._progress(job)
            elif not page or (len(page) < _PAGE and self._read_all(job_id, page)):
                del self._places[job_id]
        return lines

    def _read_all(self, job_id: str, page: Sequence[Event]) -> bool:
        return self._places[job_id] == page[-1].id

    def _progress(self, seen: JobVersion) -> Iterator[str]:
        """Yield the progress of a job if it is new; it changes with the version."""
        if self._versions.get(seen.id) == seen.version:
            return
        self._versions[seen.id] = seen.version
        job = self._store.get(seen.id)
        if job is not None and self._sent.get(job.id) != job.progress:
            self._sent[job.id] = job.progress
            yield _message("progress", {"job_id": job.id, "progress": job.progress})


def _in_order(
    found: Mapping[str, Sequence[Event]], places: dict[str, str]
) -> Iterator[str]:
    """Yield the events of many histories in the order in which they happened.

    What is later than the end of a page that may go on waits for the next page: a
    client that returns with the last id it has seen must not miss what came before.
    """
    ends = [order_of(page[-1].id) for page in found.values() if len(page) >= _PAGE]
    lines = [
        (order_of(event.id), job_id, event)
        for job_id, page in found.items()
        for event in page
    ]
    for order, job_id, event in sorted(lines, key=lambda line: line[:2]):
        if ends and order > min(ends):
            return
        places[job_id] = event.id
        yield _event(job_id, event)


def _event(job_id: str, event: Event) -> str:
    data = {
        "job_id": job_id,
        "type": event.type,
        "at": rfc3339(event.at),
        "output": event.output,
        "details": event.data,
    }
    return f"id: {event.id}\n{_message(event.type, data)}"


def _message(kind: str, data: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
