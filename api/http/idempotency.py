"""Idempotency-Key for every POST: the same key and request, the same answer.

Most requests are known by their answer, around all views: the first execution holds
the key, and repeats that come meanwhile wait for it. A success is kept for a day. A
refusal is not, so that the same request may be sent again once its cause is gone.

Requests that make a job or a batch are known by its record, which stores their key
(:func:`accept_key`). Both ways end in ``common/jobs/store/idempotency.py``.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

import structlog
from flask import Flask, Response, request

from api.http import headers
from api.http import json_body as bodies
from api.http.auth import Authenticator, enter
from api.http.body import read_body
from api.http.context import current
from common.access.principal import Principal
from common.errors import Conflict, StoreUnavailable
from common.jobs.store import Idempotency, JobStore, Repeatable
from common.sealing import SealBroken, seal, unseal

log = structlog.get_logger(__name__)

REPLAYED = "Idempotent-Replayed"
_KNOWN_BY_RECORD = frozenset({"jobs.create", "jobs.create_of_file", "batches.create"})
# S3's notifications name the version of their object, and tus appends at an offset.
_NEED_NO_KEY = frozenset({"s3_events.take", "tus.one"})
# What a request amounts to whose body is not JSON (tus).
_TELLING = ("Upload-Length", "Upload-Metadata", "Upload-Checksum")
_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.05
# A completion lists up to 10,000 parts.
_BODY_BYTES = 4 * 1024 * 1024
_ANSWER_BYTES = 1024 * 1024


def install(
    app: Flask, authenticator: Authenticator, store: JobStore, secrets: Sequence[str]
) -> None:
    """Add it to an app; after the middleware, whose headers are never kept.

    The first of ``secrets`` seals the kept answers, some of which show a secret; each
    of them opens what it has sealed.
    """

    @app.before_request
    def begin() -> Response | None:
        key = headers.idempotency_key(request) if _concerned() else None
        if key is None:
            return None
        whose = _whose(enter(authenticator, "submit"))
        requested = Repeatable(
            whose, f"POST {request.path}", key, _fingerprint(), uuid.uuid4().hex
        )
        kept = _await_turn(store, requested, secrets)
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
            _settle(store, requested, response, secrets[0])
        except StoreUnavailable as error:
            # The work is done and its answer is sent; the key is free in two minutes.
            log.warning("answer.not_kept", error=error.detail)
        return response


def accept_key(address: str, key: str | None, document: Any) -> Idempotency | None:
    """Return what the record of a new job or batch keeps to know a repeat by.

    None without an Idempotency-Key. ``address`` is method and path, ``document`` all
    that the request amounts to.
    """
    if key is None:
        return None
    text = address.encode() + b"\n" + bodies.canonical(document)
    # A key counts for one address; those of jobs are stored without theirs.
    name = key if address == "POST /v1/jobs" else f"{address} {key}"
    return Idempotency(name, hashlib.sha256(text).hexdigest())


def _concerned() -> bool:
    return (
        request.method == "POST"
        and request.path.startswith("/v1/")
        and request.endpoint is not None
        and request.endpoint not in _KNOWN_BY_RECORD | _NEED_NO_KEY
    )


def _whose(who: Principal) -> str:
    """Return whose repeats get the answer: the owner's.

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
        raw = read_body(request, _BODY_BYTES)
        if raw and request.mimetype:
            raw = bodies.canonical(bodies.parse_json(raw))
        digest.update(b"\n" + raw)
    return digest.hexdigest()


def _await_turn(
    store: JobStore, requested: Repeatable, secrets: Sequence[str]
) -> Response | None:
    """Return the kept answer, or None when it is this execution's turn.

    Raises IdempotencyMismatch, and Conflict when the first one takes too long or the
    answer is sealed by an unknown secret.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        turn = store.begin_answer(requested)
        if turn.state == "go":
            return None
        if turn.answer is not None:
            return _read(turn.answer, secrets)
        if time.monotonic() > deadline:
            raise Conflict(
                "the first request with this Idempotency-Key is still running",
                hint="send it again in a few seconds",
            )
        time.sleep(_POLL_SECONDS)


def _settle(
    store: JobStore, requested: Repeatable, response: Response, secret: str
) -> None:
    answer = _write(response, secret) if 200 <= response.status_code < 300 else ""
    if 0 < len(answer) <= _ANSWER_BYTES:
        store.keep_answer(requested, answer)
    else:
        store.drop_answer(requested)


def _write(response: Response, secret: str) -> str:
    kept = {
        "status": response.status_code,
        "headers": list(response.headers),
        "body": response.get_data(as_text=True),
    }
    return seal(json.dumps(kept), secret)


def _read(answer: str, secrets: Sequence[str]) -> Response:
    try:
        kept = json.loads(unseal(answer, secrets))
    except SealBroken as error:
        raise Conflict(
            f"the answer to the first request with this Idempotency-Key is kept, but "
            f"{error}",
            hint="look whether the first request did its work, or use another key",
        ) from error
    response = Response(kept["body"], kept["status"], headers=kept["headers"])
    response.headers[REPLAYED] = "true"
    return response
