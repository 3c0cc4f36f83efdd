"""Log how each queue does, for what scales workers by logs."""

from __future__ import annotations

from collections import Counter

import structlog

from common.jobs.store import JobStore

log = structlog.get_logger(__name__)


def log_queues(store: JobStore) -> None:
    """Log the state of each queue as the event ``queue.state``.

    ``oldest_seconds`` is how long the oldest task has been waiting, 0 if none waits.
    Raises StoreUnavailable.
    """
    activity = store.activity()
    workers = Counter(
        queue for one in store.workers() for queue in one["info"].get("queues", [])
    )
    for queue in activity.queues:
        since = activity.at if queue.since is None else queue.since
        log.info(
            "queue.state",
            queue=queue.name,
            ready=queue.ready,
            delayed=queue.delayed,
            running=queue.running,
            workers=workers[queue.name],
            oldest_seconds=(activity.at - since) / 1000,
        )
