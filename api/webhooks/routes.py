"""``/v1/webhooks``: the webhooks of an API key, for all jobs that it submits."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from pydantic import TypeAdapter

from api.http import headers
from api.http import json_body as bodies
from api.http.services import Services
from api.http.validation import validate
from api.jobs.subscriptions import WebhookSubscription, check_receiver, shown
from api.webhooks.schemas import NewWebhookView, WebhookListView, WebhookView
from common.access.keys import Keys, Scope
from common.errors import Conflict
from common.notify.subscriptions import Subscription
from common.timestamps import rfc3339

_NEW: TypeAdapter[WebhookSubscription] = TypeAdapter(WebhookSubscription)


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    settings = services.runtime.settings
    routes = Blueprint("key_webhooks", __name__, url_prefix="/v1/webhooks")

    @routes.get("")
    def index() -> Response:
        headers.expect_no_query(request)
        keys, key_id = _key(services, "read")
        found = [WebhookView(**_view(one)) for one in keys.find(key_id).webhooks]
        return bodies.json_response(WebhookListView(webhooks=found))

    @routes.post("")
    def create() -> Response:
        headers.expect_no_query(request)
        keys, key_id = _key(services, "submit")
        document = bodies.read_json(request, settings.limits.json_bytes)
        requested = validate(_NEW, document)
        check_receiver(requested.url, settings.egress, "/url")
        made = keys.add_webhook(
            key_id,
            Subscription.model_validate(requested.model_dump()),
            settings.api.secret,
        )
        view = NewWebhookView(**_view(made), secret=made.secret or "")
        return bodies.json_response(view, 201)

    # Of exactly that length, because "deliveries" is an address of its own.
    @routes.delete("/<string(length=13):webhook_id>")
    def delete(webhook_id: str) -> Response:
        headers.expect_no_query(request)
        keys, key_id = _key(services, "submit")
        keys.remove_webhook(key_id, webhook_id)
        return Response(status=204)

    return routes


def _key(services: Services, scope: Scope) -> tuple[Keys, str]:
    keys, who = services.keys, services.enter(scope)
    if keys is None or who.key_id is None:
        raise Conflict(
            "webhooks belong to an API key, and this service uses none",
            hint="name them in each job, in its notify",
        )
    return keys, who.key_id


def _view(webhook: Subscription) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": shown(webhook.url or ""),
        "events": webhook.events,
        "created_at": rfc3339(webhook.created_at or 0),
    }
