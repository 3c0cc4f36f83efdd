"""``/v1/webhooks/deliveries``: what was sent to whom, and sending it again."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, request

from api.http import headers
from api.http import json_body as bodies
from api.http.services import Services
from api.jobs.subscriptions import shown
from api.jobs.views import present_error
from api.webhooks.schemas import DeliveryAttemptView, DeliveryListView, DeliveryView
from common.errors import NotFound
from common.jobs.store import DeliveryRecord
from common.model import AttemptReport
from common.runtime import Runtime
from common.timestamps import rfc3339

_ID = re.compile(r"[0-9a-f]{32}:n:[0-9]{1,9}")


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    runtime = services.runtime
    routes = Blueprint("webhooks", __name__, url_prefix="/v1/webhooks/deliveries")

    @routes.get("")
    def index() -> Response:
        with headers.Query(request) as query:
            limit, cursor = query.page_size(), query.text("cursor")
            job = query.text("job")
        owner = services.enter("read").owner
        page_of: dict[str, Any] = {"limit": limit, "cursor": cursor}
        if job is None:
            found, following = runtime.store.deliveries(owner, **page_of)
        else:
            found, following = runtime.store.deliveries_of(
                headers.check_id(job), owner, **page_of
            )
        page = DeliveryListView(
            deliveries=[present(one) for one in found], next=following
        )
        return bodies.json_response(page)

    @routes.get("/<delivery_id>")
    def show(delivery_id: str) -> Response:
        headers.expect_no_query(request)
        delivery = _find(runtime, delivery_id, services.enter("read").owner)
        return bodies.json_response(present(delivery))

    @routes.post("/<delivery_id>/replay")
    def replay(delivery_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("submit").owner
        delivery = _find(runtime, delivery_id, owner)
        runtime.dispatcher.enqueue(runtime.store.replay_delivery(delivery.id).messages)
        queued = _find(runtime, delivery_id, owner)
        return bodies.json_response(present(queued), 202)

    return routes


def _find(runtime: Runtime, delivery_id: str, owner: str) -> DeliveryRecord:
    delivery = (
        runtime.store.delivery(delivery_id) if _ID.fullmatch(delivery_id) else None
    )
    if delivery is None or delivery.owner != owner:
        raise NotFound(f"there is no delivery {delivery_id[:80]!r}")
    return delivery


def present(delivery: DeliveryRecord) -> DeliveryView:
    """Return the public view, without the secret and the URL's query."""
    subscription = delivery.subscription
    mailed = subscription.type == "email"
    target = (subscription.to if mailed else subscription.url) or ""
    reports = [AttemptReport.model_validate(one) for one in delivery.attempts]
    waits = delivery.state == "queued"
    return DeliveryView(
        id=delivery.id,
        job_id=delivery.job_id,
        message_id=f"{delivery.job_id}.{delivery.event.id}",
        type=subscription.type,
        target=target if mailed else shown(target),
        event=delivery.event.type,
        output=delivery.event.output,
        occurred_at=rfc3339(delivery.event.at),
        status=delivery.state,
        attempts=[_attempt(one) for one in reports],
        error=delivery.error and present_error(delivery.error),
        created_at=rfc3339(delivery.created_at),
        updated_at=rfc3339(delivery.updated_at),
        finished_at=rfc3339(delivery.finished_at),
        next_attempt_at=rfc3339(delivery.not_before) if waits else None,
    )


def _attempt(report: AttemptReport) -> DeliveryAttemptView:
    return DeliveryAttemptView(
        number=report.attempt,
        at=rfc3339(report.at),
        seconds=report.seconds,
        error=report.error and present_error(report.error),
    )
