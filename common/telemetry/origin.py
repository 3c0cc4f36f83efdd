"""Which request, or task, this thread works for.

The API notes it at the beginning of each request, a worker at that of each attempt. A
job is stored with it, so that the lines of a worker name the request that made the job,
and its spans continue that request's trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

from common.model import JobOptions, JobOrigin

_current: ContextVar[JobOrigin | None] = ContextVar("origin", default=None)


def begin(origin: JobOrigin) -> None:
    """Work for a request from now on: it is named in each line of the log."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**_ids(origin))
    _current.set(origin)


@contextmanager
def working_for(origin: JobOrigin | None, **ids: str | int | None) -> Iterator[None]:
    """Name the request and these ids in each line of the log meanwhile."""
    known = {name: value for name, value in ids.items() if value is not None}
    if origin is not None:
        known |= _ids(origin)
    before = _current.set(origin)
    try:
        with structlog.contextvars.bound_contextvars(**known):
            yield
    finally:
        _current.reset(before)


def signed(options: JobOptions) -> JobOptions:
    """Return a job's options with the request that this thread works for."""
    origin = _current.get()
    if origin is None:
        return options
    return options.model_copy(update={"origin": origin})


def _ids(origin: JobOrigin) -> dict[str, str]:
    ids = {"request_id": origin.request_id, "trace_id": origin.trace_id}
    return {name: value for name, value in ids.items() if value is not None}
