"""``/v1/webhooks``: what an API key is told of every job that it submits."""

from __future__ import annotations

import base64
import secrets
import time
import uuid
from typing import Any

from flask import Blueprint, Response, request
from pydantic import TypeAdapter

from api.http import headers
from api.http import json_body as bodies
from api.http.services import Services
from api.http.validation import validate
from api.jobs.subscriptions import WebhookSubscription, check_receiver, shown
from api.jobs.views import timestamp
from api.webhooks.schemas import NewWebhookView, WebhookListView, WebhookView
from common.access.keys import MOST_WEBHOOKS, KeyRecord, Keys, Scope
from common.errors import Conflict, NotFound

_NEW: TypeAdapter[WebhookSubscription] = TypeAdapter(WebhookSubscription)


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    settings = services.runtime.settings
    routes = Blueprint("key_webhooks", __name__, url_prefix="/v1/webhooks")

    @routes.get("")
    def index() -> Response:
        headers.query(request)
        store, key_id = _key(services, "read")
        found = [WebhookView(**_view(one)) for one in store.find(key_id).webhooks]
        return bodies.json_response(WebhookListView(webhooks=found))

    @routes.post("")
    def create() -> Response:
        headers.query(request)
        store, key_id = _key(services, "submit")
        document = bodies.read_json(request, settings.limits.json_bytes)
        requested = validate(_NEW, document)
        check_receiver(requested.url, settings.egress, "/url")
        made = add(store, key_id, requested)
        view = NewWebhookView(**_view(made), secret=made["secret"])
        return bodies.json_response(view, 201)

    # Of just that length: "deliveries" is an address of its own.
    @routes.delete("/<string(length=13):webhook_id>")
    def delete(webhook_id: str) -> Response:
        headers.query(request)
        store, key_id = _key(services, "submit")
        remove(store, key_id, webhook_id)
        return Response(status=204)

    return routes


def add(keys: Keys, key_id: str, requested: WebhookSubscription) -> dict[str, Any]:
    """Give a key one more webhook; raises Conflict when it has ten, NotFound.

    One without a secret gets one of its own.
    """
    made = requested.model_dump(mode="json") | {
        "id": f"w{uuid.uuid4().hex[:12]}",
        "secret": requested.secret or new_secret(),
        "created_at": int(time.time() * 1000),
    }

    def edit(record: KeyRecord) -> KeyRecord:
        if len(record.webhooks) >= MOST_WEBHOOKS:
            raise Conflict(
                f"an API key has at most {MOST_WEBHOOKS} webhooks",
                hint="delete one that is not needed",
            )
        return record.model_copy(update={"webhooks": [*record.webhooks, made]})

    keys.change(key_id, edit)
    return made


def remove(keys: Keys, key_id: str, webhook_id: str) -> None:
    """Take a webhook from a key; jobs submitted before keep it. Raises NotFound."""

    def edit(record: KeyRecord) -> KeyRecord:
        left = [one for one in record.webhooks if one["id"] != webhook_id]
        if len(left) == len(record.webhooks):
            raise NotFound("there is no such webhook")
        return record.model_copy(update={"webhooks": left})

    keys.change(key_id, edit)


def new_secret() -> str:
    """Make a secret after Standard Webhooks: 256 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _key(services: Services, scope: Scope) -> tuple[Keys, str]:
    keys, who = services.keys, services.enter(scope)
    if keys is None or who.key_id is None:
        raise Conflict(
            "webhooks belong to an API key, and this service asks for none",
            hint="name them in each job, as notify",
        )
    return keys, who.key_id


def _view(webhook: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": webhook["id"],
        "url": shown(webhook["url"]),
        "events": webhook["events"],
        "created_at": timestamp(webhook["created_at"]),
    }
