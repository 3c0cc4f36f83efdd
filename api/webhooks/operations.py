"""The OpenAPI operations on webhooks and on what was delivered to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.http.openapi import JSON, answer, parameter, problems, ref
from api.http.openapi import parameters as references

_JOB = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_EXAMPLE = "0123456789abcdef0123456789abcdef:n:1"


def parameters() -> dict[str, Any]:
    """Return the parameters that only these operations have."""
    delivery = {"type": "string", "pattern": "^[0-9a-f]{32}:n:[0-9]{1,9}$"}
    webhook = {"type": "string", "examples": ["w0123456789ab"]}
    return {
        "DeliveryId": parameter(
            "delivery_id",
            "path",
            delivery | {"examples": [_EXAMPLE]},
            "The delivery's id.",
            required=True,
        ),
        "WebhookId": parameter(
            "webhook_id", "path", webhook, "The webhook's id.", required=True
        ),
    }


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Return the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    one = references("DeliveryId")
    return {
        "/v1/webhooks": {"get": _webhooks(common), "post": _subscribe(common)},
        "/v1/webhooks/{webhook_id}": {
            "parameters": references("WebhookId"),
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
    }


def _webhooks(common: set[int]) -> dict[str, Any]:
    return {
        "operationId": "listWebhooks",
        "tags": ["notices"],
        "summary": "List the webhooks of the API key",
        "responses": {"200": answer("All webhooks.", "WebhookListView")}
        | problems(common | {409}),
    }


def _subscribe(common: set[int]) -> dict[str, Any]:
    body = {"schema": ref("schemas", "WebhookSubscription")}
    return {
        "operationId": "createWebhook",
        "tags": ["notices"],
        "summary": "Send the events of the API key's jobs to a webhook",
        "requestBody": {"required": True, "content": {JSON: body}},
        "responses": {"201": answer("The webhook was created.", "NewWebhookView")}
        | problems(common | {409, 413, 415}),
    }


def _unsubscribe(common: set[int]) -> dict[str, Any]:
    return {
        "operationId": "deleteWebhook",
        "tags": ["notices"],
        "summary": "Remove a webhook of the API key",
        "responses": {"204": {"description": "The webhook was removed."}}
        | problems(common | {404, 409}),
    }


def _list(common: set[int]) -> dict[str, Any]:
    return {
        "operationId": "listDeliveries",
        "tags": ["notices"],
        "summary": "List deliveries, newest first",
        "parameters": [
            *references("Limit", "Cursor"),
            parameter("job", "query", _JOB, "Only those of this job, or batch."),
        ],
        "responses": {"200": answer("One page.", "DeliveryListView")}
        | problems(common | {404}),
    }


def _show(common: set[int]) -> dict[str, Any]:
    return {
        "operationId": "getDelivery",
        "tags": ["notices"],
        "summary": "Show a delivery",
        "responses": {"200": answer("The delivery.", "DeliveryView")}
        | problems(common | {404}),
    }


def _replay(common: set[int]) -> dict[str, Any]:
    shown = answer("It is sent again.", "DeliveryView")
    return {
        "operationId": "replayDelivery",
        "tags": ["notices"],
        "summary": "Send an ended delivery again, under the same id",
        "responses": {"202": shown} | problems(common | {404, 409}),
    }
