"""``/v1/operations``: queues, workers, the last hour, and tasks that were given up."""

from __future__ import annotations

import re
from collections import Counter

from flask import Blueprint, Response, request

from api import health
from api.http import headers
from api.http import json_body as bodies
from api.http.services import Services
from api.jobs.views import present_error
from api.operators.operations import TASK
from api.operators.schemas import (
    DeadLetterView,
    FailureView,
    MinuteView,
    OperationsLinksView,
    OperationsView,
    QueueView,
    RedrivenView,
    WorkerView,
)
from common.errors import NotFound
from common.jobs.store import Activity, DeadTask, Minute, QueueState
from common.timestamps import rfc3339

_TASK = re.compile(TASK)
_BATCH_TASK = ":batch"


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("operators", __name__, url_prefix="/v1/operations")
    runtime = services.runtime

    @routes.get("")
    def show() -> Response:
        headers.expect_no_query(request)
        owner = services.enter("admin").owner
        return bodies.json_response(_present(services, owner))

    @routes.post("/dead-letters/<task_id>/redrive")
    def redrive(task_id: str) -> Response:
        headers.expect_no_query(request)
        services.enter("admin")
        if not _TASK.fullmatch(task_id):
            raise NotFound(
                f"{task_id[:80]!r} is not the id of a task",
                hint="GET /v1/operations lists the tasks that were given up",
            )
        outcome = runtime.store.redrive(task_id)
        runtime.dispatcher.enqueue(outcome.messages)
        queued = [message.task for message in outcome.messages]
        return bodies.json_response(RedrivenView(task=task_id, queued=queued), 202)

    return routes


def _present(services: Services, owner: str) -> OperationsView:
    runtime = services.runtime
    activity, stats = runtime.store.activity(), runtime.store.stats()
    reasons = health.reasons(runtime, stats)
    return OperationsView(
        at=rfc3339(activity.at),
        status="degraded" if reasons else "ok",
        reasons=reasons,
        jobs=stats.jobs,
        queues=[_queue(one, activity.at) for one in activity.queues],
        workers=[
            WorkerView(
                name=one["name"],
                queues=one["info"].get("queues", []),
                seen_at=rfc3339(one["at"]),
                clock_skew=one["info"].get("clock_skew"),
            )
            for one in runtime.store.workers()
        ],
        reaper_seconds=stats.reaper_seconds,
        minutes=[_minute(one) for one in activity.minutes],
        failures=_failures(activity),
        dead=stats.dead,
        dead_letters=[_letter(services, one, owner) for one in runtime.store.dead()],
        links=OperationsLinksView(
            metrics=f"{services.root()}/metrics",
            flower=runtime.settings.api.flower_public_url,
        ),
    )


def _queue(queue: QueueState, now: int) -> QueueView:
    waited = None if queue.since is None else max(0, now - queue.since) / 1000
    return QueueView(
        name=queue.name,
        ready=queue.ready,
        delayed=queue.delayed,
        running=queue.running,
        oldest_task=queue.oldest,
        oldest_seconds=waited,
    )


def _minute(minute: Minute) -> MinuteView:
    names = ("accepted", "completed", "partial", "failed", "cancelled")
    counts = {name: minute.counters.get(name, 0) for name in names}
    return MinuteView(at=rfc3339(minute.at), **counts)


def _failures(activity: Activity) -> list[FailureView]:
    total: Counter[str] = Counter()
    for minute in activity.minutes:
        total.update(minute.failures)
    return [FailureView(code=code, tasks=n) for code, n in total.most_common()]


def _letter(services: Services, dead: DeadTask, owner: str) -> DeadLetterView:
    shown = dead.owner == owner and not dead.gone
    linked = shown and not dead.task.endswith(_BATCH_TASK)
    return DeadLetterView(
        task=dead.task,
        job_id=dead.job_id,
        owner=dead.owner,
        output=dead.output,
        at=rfc3339(dead.at),
        error=present_error(dead.error),
        attempts=dead.attempts,
        gone=dead.gone,
        job=services.links().job(dead.job_id) if linked else None,
    )
