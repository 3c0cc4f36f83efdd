"""Send webhooks after Standard Webhooks 1.0: signed, timestamped, with a stable id.

``webhook-id`` is the same on every attempt and every replay of an event, so that a
receiver can ignore repetitions. A redirect is not followed; it counts as a failure.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, Protocol

from common.errors import ReceiverError, ReceiverGone, SecretUnreadable
from common.model import BatchRecord, Event, JobRecord
from common.notify.subscriptions import Subscription
from common.sealing import SealBroken, unseal
from common.settings.load import Settings
from common.timestamps import rfc3339
from worker.egress import Answer

MAX_BODY_BYTES = 20_000
_PREFIX = "whsec_"


class Poster(Protocol):
    """Sends HTTP requests; :class:`worker.egress.EgressClient` is one."""

    def post(
        self, url: str, body: bytes, headers: dict[str, str], *, seconds: float
    ) -> Answer:
        """Send ``body`` and return the answer, within ``seconds``."""


def message_id(job_id: str, event: Event) -> str:
    """Return the id by which receivers recognise a repetition."""
    return f"{job_id}.{event.id}"


def sign(secret: str, message: str, timestamp: int, body: bytes) -> str:
    """Return the ``webhook-signature``; ``secret`` is ``whsec_`` and base64.

    Raises ReceiverGone for a secret of another form.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError as error:
        raise ReceiverGone("the subscription's secret is not whsec_…") from error
    signed = f"{message}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def write_body(job_id: str, event: Event, job: JobRecord | None, link: str) -> bytes:
    """Return the payload: the event, and the job as it is now, in under 20 KB.

    ``data.job`` is null if the job was deleted. To fit, the job's ``outputs``, then its
    ``metadata``, then its ``error`` become null.
    """
    data: dict[str, Any] = {
        "job_id": job_id,
        "output": event.output,
        "details": event.data,
        "link": link,
        "job": job and _brief(job),
    }
    for dropped in (None, "outputs", "metadata", "error"):
        if dropped and data["job"]:
            data["job"][dropped] = None
        document = {"type": event.type, "timestamp": rfc3339(event.at), "data": data}
        body = json.dumps(document, separators=(",", ":")).encode()
        if len(body) < MAX_BODY_BYTES:
            return body
    data["details"] = {}
    return json.dumps(document, separators=(",", ":")).encode()


def write_batch_body(
    batch_id: str, event: Event, batch: BatchRecord | None, link: str
) -> bytes:
    """Return the payload of a batch's event, in under 20 KB.

    ``data.batch`` is null if the batch was deleted. To fit, its ``metadata`` becomes
    null.
    """
    data: dict[str, Any] = {
        "batch_id": batch_id,
        "link": link,
        "batch": batch
        and {
            "id": batch.id,
            "status": batch.status,
            "counts": batch.counts,
            "metadata": batch.metadata,
            "error": batch.error and batch.error.model_dump(),
            "warnings": batch.warnings,
        },
    }
    document = {"type": event.type, "timestamp": rfc3339(event.at), "data": data}
    body = json.dumps(document, separators=(",", ":")).encode()
    if len(body) < MAX_BODY_BYTES or batch is None:
        return body
    slim = batch.model_copy(update={"metadata": None})
    return write_batch_body(batch_id, event, slim, link)


def _brief(job: JobRecord) -> dict[str, Any]:
    return {
        "id": job.id,
        "status": job.status,
        "metadata": job.metadata,
        "error": job.error and job.error.model_dump(),
        "outputs": [
            {
                "name": output.name,
                "kind": output.kind,
                "status": output.status,
                "artifacts": [artifact.name for artifact in output.artifacts],
                "copies": [
                    artifact.copy_at.model_dump()
                    for artifact in output.artifacts
                    if artifact.copy_at is not None
                ],
                "error": output.error and output.error.code,
            }
            for output in job.outputs
        ],
    }


def send(
    egress: Poster,
    settings: Settings,
    subscription: Subscription,
    message: str,
    body: bytes,
    now: int,
) -> dict[str, Any]:
    """Post once and return the result for the delivery log.

    Raises AddressRefused, Unreachable, ReceiverError, ReceiverGone (410, no secret),
    SecretUnreadable.
    """
    secret = _own_secret(subscription, settings) or settings.webhooks.secret
    if not secret:
        raise ReceiverGone(
            "the subscription has no secret and FRAMEMILL_WEBHOOKS_SECRET is not set"
        )
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, message, now, body),
    }
    seconds = settings.webhooks.timeout_seconds
    answer = egress.post(subscription.url or "", body, headers, seconds=seconds)
    if 200 <= answer.status < 300:
        return {"status": answer.status}
    detail = f"the receiver answered {answer.status}"
    if answer.status == 410:
        raise ReceiverGone(detail)
    raise ReceiverError(detail, retry_after=_retry_after(answer))


def _own_secret(subscription: Subscription, settings: Settings) -> str:
    try:
        return unseal(subscription.secret or "", settings.api.secrets)
    except SealBroken as error:
        raise SecretUnreadable(
            f"the webhook's secret cannot be read: {error}",
            hint="list the earlier FRAMEMILL_API_SECRET in "
            "FRAMEMILL_API_PREVIOUS_SECRETS, or make the webhook anew and delete this "
            "one",
        ) from error


def _retry_after(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
