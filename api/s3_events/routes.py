"""``POST /v1/events/s3``: notifications of objects that arrived, over HTTP.

Callers authenticate by a bearer token (MinIO, SeaweedFS, EventBridge API destinations)
or by SNS messages that Amazon has signed. Both are off until they are configured.
"""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from typing import Any

import structlog
from flask import Blueprint, Response, request

from api.http import headers
from api.http import json_body as bodies
from api.http.body import read_chunk
from api.s3_events import sns
from api.s3_events.schemas import NotifiedView, ObjectOutcomeView
from common.access.keys import Keys
from common.errors import BodyTooLarge, NotFound, Unauthorized
from common.ingest.s3_notifications import S3Notifications, read_notification
from common.runtime import Runtime

MAX_BYTES = 256 * 1024  # of an SNS or SQS message

log = structlog.get_logger(__name__)


def blueprint(runtime: Runtime, fetch: sns.Fetch = sns.fetch) -> Blueprint:
    """Return the route; ``fetch`` downloads the certificates of SNS."""
    routes = Blueprint("s3_events", __name__, url_prefix="/v1/events")
    settings = runtime.settings.events
    verifier = sns.Verifier(settings.topics, fetch)
    keys = Keys.connect(runtime.settings)
    notifications = S3Notifications(runtime.settings, runtime.jobs, runtime.blobs, keys)

    @routes.post("/s3")
    def take() -> Response:
        headers.expect_no_query(request)
        if not settings.token and not settings.topics:
            raise NotFound(
                "this service takes no notifications over HTTP",
                hint="the operator sets FRAMEMILL_EVENTS_TOKEN or "
                "FRAMEMILL_EVENTS_TOPICS",
            )
        body = _body()
        message = _sns_message(body)
        if message is None or _has_token(settings.token):
            _require_token(settings.token)
        else:
            verifier.verify(message, datetime.now(UTC))
        if message is not None and message.get("Type") != "Notification":
            return _manage(verifier, message)
        return _admit(notifications, body)

    return routes


def _body() -> bytes:
    if (request.content_length or 0) > MAX_BYTES:
        raise BodyTooLarge(f"the notification is over {MAX_BYTES} bytes")
    body = read_chunk(request.stream, MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise BodyTooLarge(f"the notification is over {MAX_BYTES} bytes")
    return body


def _sns_message(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None  # read_notification refuses it, once the token is known
    return document if sns.is_message(document) else None


def _has_token(token: str) -> bool:
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())


def _require_token(token: str) -> None:
    if not _has_token(token):
        raise Unauthorized(
            "the notification carries no valid token",
            hint="send Authorization: Bearer TOKEN, with FRAMEMILL_EVENTS_TOKEN",
        )


def _manage(verifier: sns.Verifier, message: dict[str, Any]) -> Response:
    kind = message.get("Type")
    log.info("sns.message", type=kind, topic=message.get("TopicArn"))
    if kind == "SubscriptionConfirmation":
        verifier.confirm(message)
    return _answer([])


def _admit(notifications: S3Notifications, body: bytes) -> Response:
    found = [
        notifications.admit(notification) for notification in read_notification(body)
    ]
    return _answer(
        [ObjectOutcomeView(outcome=one.outcome, job_id=one.job_id) for one in found]
    )


def _answer(arrived: list[ObjectOutcomeView]) -> Response:
    return bodies.json_response(NotifiedView(outcomes=arrived))
