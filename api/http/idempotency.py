"""Idempotency-Key for every POST: the same key and request, the same answer.

Around all views, so that none has to think of it. The first execution holds the key;
repeats that come meanwhile wait for its answer. What succeeded is kept for a day; a
refusal is not, so that the same request may be sent again once its cause is gone.

Submitting a job or a batch is apart: there the key is recorded in the same Lua call as
the job, so that not even a crash in between makes two. Notifications of S3 are apart
too: they name the object's version, which does the same.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from typing import Any

import structlog
from flask import Flask, Response, request

from api.http import headers
from api.http import json_body as bodies
from api.http.auth import Authenticator, enter
from api.http.context import current
from common.access.principal import Principal
from common.errors import Conflict, StoreUnavailable
from common.jobs.store import Idempotency, JobStore, Repeatable

log = structlog.get_logger(__name__)

REPLAYED = "Idempotent-Replayed"
_APART = frozenset({"jobs.create", "batches.create", "s3_events.take", "tus.one"})
# Of a body that is not JSON (tus) these tell what is asked.
_TELLING = ("Upload-Length", "Upload-Metadata", "Upload-Checksum")
_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.05
# A completion lists up to 10,000 parts.
_BODY_BYTES = 4 * 1024 * 1024
_ANSWER_BYTES = 1024 * 1024


def install(app: Flask, authenticator: Authenticator, store: JobStore) -> None:
    """Put it around an app; after the edge, whose headers are each answer's own."""

    @app.before_request
    def begin() -> Response | None:
        key = headers.idempotency_key(request) if _concerned() else None
        if key is None:
            return None
        whose = _whose(enter(authenticator, "submit"))
        requested = Repeatable(
            whose, f"POST {request.path}", key, _fingerprint(), uuid.uuid4().hex
        )
        kept = _await_turn(store, requested)
        if kept is None:
            current().execution = requested
        return kept

    @app.after_request
    def end(response: Response) -> Response:
        context = current()
        requested, context.execution = context.execution, None
        if requested is None:
            return response
        try:
            _settle(store, requested, response)
        except StoreUnavailable as error:
            # What was done is done and is told; the key is free in two minutes.
            log.warning("answer.not_kept", error=error.detail)
        return response


def accept_key(address: str, key: str | None, document: Any) -> Idempotency | None:
    """Return what the record of a new job or batch keeps to know a repeat by.

    None without an Idempotency-Key. ``document`` is all that the request amounts to.
    """
    if key is None:
        return None
    text = address.encode() + b"\n" + bodies.canonical(document)
    return Idempotency(key, hashlib.sha256(text).hexdigest())


def _concerned() -> bool:
    return (
        request.method == "POST"
        and request.path.startswith("/v1/")
        and request.endpoint is not None
        and request.endpoint not in _APART
    )


def _whose(who: Principal) -> str:
    """Tell whose repeats get the answer: the owner's.

    A webhook is the API key's alone, and the answer holds its secret.
    """
    own = request.endpoint == "key_webhooks.create"
    return f"{who.owner}\0{who.key_id}" if own else who.owner


def _fingerprint() -> str:
    digest = hashlib.sha256(request.query_string)
    digest.update(f"\n{request.mimetype}".encode())
    for name in _TELLING:
        digest.update(f"\n{name}: {request.headers.get(name)}".encode())
    if request.mimetype in {"", bodies.JSON_TYPE}:
        raw = bodies.read_body(request, _BODY_BYTES)
        if raw and request.mimetype:
            raw = bodies.canonical(bodies.parse_json(raw))
        digest.update(b"\n" + raw)
    return digest.hexdigest()


def _await_turn(store: JobStore, requested: Repeatable) -> Response | None:
    """Give the kept answer, or None when it is this execution's turn.

    Raises IdempotencyMismatch, and Conflict when the first one takes too long.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        turn = store.begin_answer(requested)
        if turn.state == "go":
            return None
        if turn.answer is not None:
            return _read(turn.answer)
        if time.monotonic() > deadline:
            raise Conflict(
                "a request with this Idempotency-Key is still under way",
                hint="send it again in a moment",
            )
        time.sleep(_POLL_SECONDS)


def _settle(store: JobStore, requested: Repeatable, response: Response) -> None:
    answer = _write(response) if 200 <= response.status_code < 300 else ""
    if 0 < len(answer) <= _ANSWER_BYTES:
        store.keep_answer(requested, answer)
    else:
        store.drop_answer(requested)


def _write(response: Response) -> str:
    return json.dumps(
        {
            "status": response.status_code,
            "headers": list(response.headers),
            "body": response.get_data(as_text=True),
        }
    )


def _read(answer: str) -> Response:
    kept = json.loads(answer)
    response = Response(kept["body"], kept["status"], headers=kept["headers"])
    response.headers[REPLAYED] = "true"
    return response
