"""The values that belong to one request: its id, its caller, their limits.

The middleware, the authenticator and the views share one :class:`RequestContext` a
request. Flask's ``g`` holds it; nothing else is kept there.
"""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from flask import g, request

from api.http import headers
from common.access.keys import Admission
from common.access.principal import Principal
from common.access.quota import Today
from common.jobs.store import Repeatable


@dataclass
class RequestContext:
    """One request. What is None is not known yet, or does not apply to it."""

    request_id: str
    # By time.perf_counter(), in seconds.
    began: float = field(default_factory=time.perf_counter)
    principal: Principal | None = None
    # The API key's rate limit, as it was when this request was counted.
    admission: Admission | None = None
    # What today has left of the key's jobs a day.
    today: Today | None = None
    # The name and the size of the quota that refused this request.
    exceeded: tuple[str, int] | None = None
    # This execution of a request with an Idempotency-Key, until its answer is kept.
    execution: Repeatable | None = None
    # The whole body, for whoever reads it next.
    body: bytes | None = None
    # What ends with the request.
    ending: ExitStack = field(default_factory=ExitStack)


def begin() -> RequestContext:
    """Start the context of the request that has just come in."""
    request_id = headers.request_id(request) or secrets.token_hex(16)
    context = g.context = RequestContext(request_id)
    return context


def current() -> RequestContext:
    """Return the context of the request that is being answered."""
    context: RequestContext | None = g.get("context")
    return begin() if context is None else context
