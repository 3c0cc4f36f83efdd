"""``GET /v1/jobs/{id}/events``: a job's history as server-sent events.

A stream holds one of the sending threads (``FRAMEMILL_API_TRANSFERS``), a quarter of
which are for streams; other callers get 429 and poll. The stream ends with the job.
Events carry the store's ids, so a client that returns with ``Last-Event-ID`` misses
nothing; ``progress`` events have no id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import structlog
from flask import Blueprint, Response, request

from api.http import headers
from api.http.headers import check_id
from api.http.services import Services
from common.errors import StoreUnavailable, TooManyRequests
from common.model import JOB_ENDED, Event, JobRecord
from common.runtime import Runtime
from common.timestamps import rfc3339

HEARTBEAT_SECONDS = 15.0
RECONNECT_MILLISECONDS = 2000
BUSY_SECONDS = 5
LOOK_SECONDS = 1.0
LONGEST_SECONDS = 3600.0
_PAGE = 100

log = structlog.get_logger(__name__)


def blueprint(services: Services) -> Blueprint:
    """Return the route; ``event_streams`` caps the streams."""
    runtime = services.runtime
    routes = Blueprint("stream", __name__, url_prefix="/v1/jobs")

    @routes.get("/<job_id>/events")
    def events(job_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("read").owner
        job = runtime.jobs.get(check_id(job_id), owner)
        after = request.headers.get("Last-Event-ID") or None
        # An impossible id is refused here, while there is still a status to send.
        missed = runtime.store.events(job.id, after, 1)
        if after and not missed and job.status in JOB_ENDED:
            return Response(status=204)  # EventSource takes it as: do not come back
        with ExitStack() as stack:
            if not stack.enter_context(services.event_streams.place()):
                raise TooManyRequests(
                    "this server has no free event stream",
                    retry_after=BUSY_SECONDS,
                    hint=f"poll GET /v1/jobs/{job.id}, or try again later",
                )
            response = Response(
                _stream(runtime, job, after), mimetype="text/event-stream"
            )
            # The place is freed when the stream ends, even if it never began.
            response.call_on_close(stack.pop_all().close)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"
        return response

    return routes


def _stream(runtime: Runtime, job: JobRecord, after: str | None) -> Iterator[str]:
    try:
        yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
        yield from _follow(runtime, job.id, after)
    except StoreUnavailable as error:
        # The client reconnects by itself, with the last id it has seen.
        log.warning("stream.cut", job=job.id, code=error.code)


def _follow(runtime: Runtime, job_id: str, after: str | None) -> Iterator[str]:
    store = runtime.store
    began = spoken = time.monotonic()
    progress = -1.0
    while time.monotonic() - began < LONGEST_SECONDS:
        # The job is read first: an end that it shows is then in the history.
        job = store.get(job_id)
        found = store.events(job_id, after, _PAGE)
        for event in found:
            after = event.id
            yield _event(job_id, event)
        if job is None or (job.status in JOB_ENDED and len(found) < _PAGE):
            return
        if job.progress != progress:
            progress = job.progress
            yield _message("progress", {"job_id": job_id, "progress": progress})
            spoken = time.monotonic()
        if time.monotonic() - spoken >= HEARTBEAT_SECONDS:
            yield ": alive\n\n"
            spoken = time.monotonic()
        if not found:
            store.await_event(job_id, after, LOOK_SECONDS)


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
