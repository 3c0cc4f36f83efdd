"""Deliver one event to one subscriber, by webhook or e-mail.

A delivery is a task like any other: the store counts its attempts, keeps the delay
before the next one and logs each. It outlives its job and never changes its status.
"""

from __future__ import annotations

import time
from typing import Any

import structlog

from common.jobs.store import Outcome
from common.model import Event
from common.notify.subscriptions import Subscription
from worker.delivery import mail, webhook
from worker.lease import Attempt

log = structlog.get_logger(__name__)


def deliver(attempt: Attempt) -> Outcome:
    """Send the claimed delivery once and log the result.

    Raises DeliveryError, AddressRefused or Unreachable if it did not arrive.
    """
    claim, store = attempt.claim, attempt.context.runtime.store
    if claim.delivery is None:
        raise ValueError(f"task {claim.task} is no delivery")
    event, subscription = claim.delivery.event, claim.delivery.subscription
    attempt.label = subscription.type
    if attempt.label == "email":
        result = _mail(attempt, event, subscription)
    else:
        result = _post(attempt, event, subscription)
    log.info("delivery.sent", channel=attempt.label, **result)
    reports = [attempt.report()]
    return attempt.settle(lambda: store.finish(claim, result=result, reports=reports))


def _mail(attempt: Attempt, event: Event, subscription: Subscription) -> dict[str, Any]:
    runtime, job_id = attempt.context.runtime, attempt.claim.job_id
    of_batch = _is_of_batch(event)
    job = None if of_batch else runtime.store.get(job_id)
    letter = mail.Letter(
        to=subscription.to or "",
        message=webhook.message_id(job_id, event),
        event=event,
        job_id=job_id,
        job=job,
        batch=runtime.store.batch(job_id) if of_batch else None,
        link=_link(attempt, event),
        page=mail.link_page(runtime.settings, job),
        files=mail.link_files(runtime.settings, job),
        picture=mail.pick_picture(job, runtime.blobs),
    )
    smtp = runtime.settings.smtp
    return mail.send(smtp, mail.compose(letter, smtp.sender))


def _post(attempt: Attempt, event: Event, subscription: Subscription) -> dict[str, Any]:
    runtime, job_id = attempt.context.runtime, attempt.claim.job_id
    link = _link(attempt, event)
    if _is_of_batch(event):
        batch = runtime.store.batch(job_id)
        body = webhook.write_batch_body(job_id, event, batch, link)
    else:
        body = webhook.write_body(job_id, event, runtime.store.get(job_id), link)
    return webhook.send(
        attempt.context.egress,
        runtime.settings,
        subscription,
        webhook.message_id(job_id, event),
        body,
        int(time.time()),
    )


def _is_of_batch(event: Event) -> bool:
    return event.type.startswith("batch.")


def _link(attempt: Attempt, event: Event) -> str:
    root = attempt.context.runtime.settings.api.public_url or ""
    collection = "batches" if _is_of_batch(event) else "jobs"
    return f"{root}/v1/{collection}/{attempt.claim.job_id}"
