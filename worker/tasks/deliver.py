"""One attempt to deliver a notice: claim, send, tell the store what came of it.

Notices are tasks like any other: the store counts attempts, keeps the delay before
the next one and logs each. A notice outlives its job and never changes its status.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from common.errors import (
    FramemillError,
    InternalError,
    ReceiverError,
    StoreUnavailable,
)
from common.jobs.store import Claim, JobStore, Outcome, Refusal
from common.model import AttemptReport, ErrorInfo, Event
from common.runtime import Runtime
from common.settings.load import Settings
from worker.delivery import mail, webhook
from worker.egress import EgressClient

log = structlog.get_logger(__name__)

_SETTLE_SECONDS = 60.0
_JITTER = 0.2
_MAX_DELAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Channels:
    """The ways out; tests give others. ``spread`` is a random share, 0 to 1."""

    egress: webhook.Poster
    now: Callable[[], float] = time.time
    spread: Callable[[], float] = random.random

    @classmethod
    def of(cls, settings: Settings) -> Channels:
        """Make those of a worker."""
        return cls(EgressClient(settings.egress))


def deliver(
    runtime: Runtime,
    task: str,
    task_id: str,
    worker: str,
    channels: Channels | None = None,
) -> None:
    """Claim the notice and try once; the store rings again after a failure.

    Raises only what ends the process, after giving the claim back, and
    StoreUnavailable before a claim is had (the reaper rings again).
    """
    # A redelivered message has the same task id; only the random half tells it.
    token = f"{task_id}:{uuid.uuid4().hex}"
    claim = runtime.store.claim(task, token, worker)
    if isinstance(claim, Refusal):
        log.info("delivery.skipped", task=task, reason=claim.reason)
        return
    with _alive(runtime, claim):
        outcome = _try_once(runtime, claim, channels or Channels.of(runtime.settings))
    runtime.dispatcher.enqueue(outcome.messages)


def _try_once(runtime: Runtime, claim: Claim, channels: Channels) -> Outcome:
    store = runtime.store
    began = time.monotonic()
    try:
        result = _send(runtime, claim, channels)
    except Exception as error:  # noqa: BLE001 - any defect is this attempt's failure
        return _give_back(runtime, claim, error, channels.spread(), began)
    except BaseException:
        _settle(lambda: store.release(claim, "refund"))
        raise
    log.info("delivery.delivered", task=claim.task, attempt=claim.attempt)
    report = _report(claim, None, began)
    return _settle(lambda: store.finish(claim, result=result, reports=[report]))


def _send(runtime: Runtime, claim: Claim, channels: Channels) -> dict[str, Any]:
    delivery = claim.delivery or {}
    event = Event.model_validate(delivery["event"])
    subscription: dict[str, Any] = delivery["subscription"]
    root = runtime.settings.api.public_url or ""
    batch = event.type.startswith("batch.")
    parent = runtime.store.batch(claim.job_id) if batch else None
    job = None if batch else runtime.store.get(claim.job_id)
    link = f"{root}/v1/{'batches' if batch else 'jobs'}/{claim.job_id}"
    message = webhook.message_id(claim.job_id, event)
    if subscription.get("type") == "email":
        letter = mail.Letter(
            to=str(subscription.get("to")),
            message=message,
            event=event,
            job_id=claim.job_id,
            job=job,
            batch=parent,
            link=link,
            files=mail.link_files(runtime.settings, job),
            picture=mail.pick_picture(job, runtime.blobs),
        )
        smtp = runtime.settings.smtp
        return mail.send(smtp, mail.compose(letter, smtp.sender))
    if batch:
        body = webhook.write_batch_body(claim.job_id, event, parent, link)
    else:
        body = webhook.write_body(claim.job_id, event, job, link)
    now = int(channels.now())
    return webhook.send(
        channels.egress, runtime.settings, subscription, message, body, now
    )


def _give_back(
    runtime: Runtime, claim: Claim, error: Exception, spread: float, began: float
) -> Outcome:
    if isinstance(error, FramemillError):
        public = error
    else:
        log.error("delivery.defect", task=claim.task, exc_info=error)
        public = InternalError(f"{type(error).__name__} in the worker; see its log")
    again = public.retryable or isinstance(public, InternalError)
    requested = error.retry_after if isinstance(error, ReceiverError) else 0.0
    delay = retry_delay(runtime.settings, claim.attempt, spread, requested)
    info = ErrorInfo(**public.as_dict())
    log.warning(
        "delivery.failed",
        task=claim.task,
        attempt=claim.attempt,
        code=info.code,
        again=again,
    )
    return _settle(
        lambda: runtime.store.release(
            claim,
            "retry" if again else "fatal",
            error=info,
            delay_seconds=delay if again else 0,
            reports=[_report(claim, info, began)],
        )
    )


def retry_delay(
    settings: Settings, attempt: int, spread: float, requested: float = 0.0
) -> float:
    """Give the pause after a failed attempt (from 1), in seconds.

    The schedule's pause, a fifth more or less, or what the receiver ``asked`` for
    (Retry-After) where that is longer; at most a day.
    """
    schedule = settings.webhooks.retry_seconds
    base = schedule[min(attempt, len(schedule)) - 1] if schedule else 0.0
    jittered = base * (1 + _JITTER * (2 * spread - 1))
    return min(max(jittered, requested), _MAX_DELAY_SECONDS)


def _report(claim: Claim, error: ErrorInfo | None, began: float) -> AttemptReport:
    subscription = (claim.delivery or {}).get("subscription", {})
    return AttemptReport(
        attempt=claim.attempt,
        rung=str(subscription.get("type", "webhook")),
        error=error,
        seconds=round(time.monotonic() - began, 3),
        worker=claim.worker,
        at=round(time.time() * 1000),
    )


def _settle(transition: Callable[[], Outcome]) -> Outcome:
    """Tell the store, for a minute; then the lease runs out and it is sent again."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        try:
            return transition()
        except StoreUnavailable as error:
            if time.monotonic() > deadline:
                log.exception("delivery.abandoned", error=error.detail)
                return Outcome(applied=False, job_ended=False, messages=[])
            time.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - jitter, no secret


@contextmanager
def _alive(runtime: Runtime, claim: Claim) -> Iterator[None]:
    """Keep the lease while a slow receiver or mail server is talked to."""
    ended = threading.Event()
    pause = runtime.settings.lease.beat_seconds
    thread = threading.Thread(
        target=_beat, args=(runtime.store, claim, pause, ended), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(store: JobStore, claim: Claim, pause: float, ended: threading.Event) -> None:
    while not ended.wait(pause):
        try:
            if store.beat(claim) == "lost":
                return
        except StoreUnavailable as error:
            log.warning("delivery.beat_missed", task=claim.task, error=error.detail)
