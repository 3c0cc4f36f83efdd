"""The part of the OpenAPI document on events, deliveries and notifications."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_JSON = "application/json"
_EXAMPLE = "0123456789abcdef0123456789abcdef:n:1"
# OpenAPI 3.1 has no words for a stream: this is one event of it, field by field.
_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "For Last-Event-ID; none on progress."},
        "event": {"type": "string", "description": "progress, or the event's type."},
        "data": {"type": "string", "contentMediaType": _JSON},
        "retry": {"type": "integer", "description": "Milliseconds."},
    },
}


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _problems(statuses: Iterable[int]) -> dict[str, Any]:
    return {str(one): _ref("responses", f"Problem{one}") for one in sorted(statuses)}


def _answer(text: str, schema: dict[str, Any], kind: str = _JSON) -> dict[str, Any]:
    return {
        "description": text,
        "headers": {"X-Request-Id": _ref("headers", "X-Request-Id")},
        "content": {kind: {"schema": schema}},
    }


def parameters() -> dict[str, Any]:
    """Give the parameters that only these operations have."""
    return {
        "DeliveryId": {
            "name": "delivery_id",
            "in": "path",
            "required": True,
            "schema": {
                "type": "string",
                "pattern": "^[0-9a-f]{32}:n:[0-9]{1,9}$",
                "examples": [_EXAMPLE],
            },
            "description": "The delivery's id.",
        },
        "WebhookId": {
            "name": "webhook_id",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "examples": ["w0123456789ab"]},
            "description": "The webhook's id.",
        },
        "LastEventId": {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": "^([0-9]{1,20}(-[0-9]{1,20})?)?$"},
            "description": "Only events after this one.",
        },
    }


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Give the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    one = [_ref("parameters", "DeliveryId")]
    return {
        "/v1/jobs/{job_id}/events": {
            "parameters": [_ref("parameters", "JobId")],
            "get": _stream(common),
        },
        "/v1/webhooks": {"get": _webhooks(common), "post": _subscribe(common)},
        "/v1/webhooks/{webhook_id}": {
            "parameters": [_ref("parameters", "WebhookId")],
            "delete": _unsubscribe(common),
        },
        "/v1/webhooks/deliveries": {"get": _list(common)},
        "/v1/webhooks/deliveries/{delivery_id}": {
            "parameters": one,
            "get": _show(common),
        },
        "/v1/webhooks/deliveries/{delivery_id}/replay": {
            "parameters": one,
            "post": _replay(common),
        },
        "/v1/events/s3": {"post": _take(common)},
    }


def _webhooks(common: set[int]) -> dict[str, Any]:
    return {
        "operationId": "listWebhooks",
        "tags": ["notices"],
        "summary": "List the webhooks of the API key",
        "responses": {"200": _answer("All.", _ref("schemas", "WebhookListView"))}
        | _problems(common | {409}),
    }


def _subscribe(common: set[int]) -> dict[str, Any]:
    body = {"schema": _ref("schemas", "WebhookSubscription")}
    return {
        "operationId": "createWebhook",
        "tags": ["notices"],
        "summary": "Have every job of the API key told to a webhook",
        "requestBody": {"required": True, "content": {_JSON: body}},
        "responses": {"201": _answer("It is.", _ref("schemas", "NewWebhookView"))}
        | _problems(common | {409, 413, 415}),
    }


def _unsubscribe(common: set[int]) -> dict[str, Any]:
    return {
        "operationId": "deleteWebhook",
        "tags": ["notices"],
        "summary": "Take a webhook from the API key",
        "responses": {"204": {"description": "It is gone."}}
        | _problems(common | {404, 409}),
    }


def _stream(common: set[int]) -> dict[str, Any]:
    text = "The job's events until it ends (server-sent events)."
    return {
        "operationId": "streamEvents",
        "tags": ["jobs"],
        "summary": "Follow a job",
        "description": "Streams are few: 429 says to poll the job instead.",
        "parameters": [_ref("parameters", "LastEventId")],
        "responses": {
            "200": _answer(text, _EVENT, "text/event-stream"),
            "204": {"description": "The job has ended and there is nothing after."},
        }
        | _problems(common | {404}),
    }


def _list(common: set[int]) -> dict[str, Any]:
    return {
        "operationId": "listDeliveries",
        "tags": ["notices"],
        "summary": "List deliveries, newest first",
        "parameters": [_ref("parameters", "Limit"), _ref("parameters", "Cursor")],
        "responses": {"200": _answer("One page.", _ref("schemas", "DeliveryListView"))}
        | _problems(common),
    }


def _show(common: set[int]) -> dict[str, Any]:
    return {
        "operationId": "getDelivery",
        "tags": ["notices"],
        "summary": "Show a delivery",
        "responses": {"200": _answer("The delivery.", _ref("schemas", "DeliveryView"))}
        | _problems(common | {404}),
    }


def _replay(common: set[int]) -> dict[str, Any]:
    shown = _answer("It is sent again.", _ref("schemas", "DeliveryView"))
    return {
        "operationId": "replayDelivery",
        "tags": ["notices"],
        "summary": "Send an ended delivery again, under the same id",
        "responses": {"202": shown} | _problems(common | {404, 409}),
    }


def _take(common: set[int]) -> dict[str, Any]:
    outcomes = ["created", "known", "unmatched", "own", "superseded"]
    notification = {
        "type": "object",
        "required": ["outcome", "job_id"],
        "properties": {
            "outcome": {"type": "string", "enum": outcomes},
            "job_id": {"type": ["string", "null"]},
        },
    }
    schema = {
        "type": "object",
        "required": ["arrivals"],
        "properties": {"arrivals": {"type": "array", "items": notification}},
    }
    body = {"schema": {"type": "object"}}
    return {
        "operationId": "takeS3Events",
        "tags": ["notices"],
        "summary": "Take a notification of objects that arrived in S3",
        "description": "S3's form (MinIO's too), the same inside a signed SNS "
        "message, or EventBridge's. 404 until it is set up.",
        "security": [{"bearer": []}, {}],
        "requestBody": {
            "required": True,
            "content": {_JSON: body, "text/plain": {"schema": {"type": "string"}}},
        },
        "responses": {"200": _answer("What came of each object.", schema)}
        | _problems(common | {404, 413}),
    }
