"""Read the job store's figures at each scrape, for the parts that expose them.

Every process that exposes them tells the same: take the greatest of them, not the sum.
"""

from __future__ import annotations

import math
from collections import Counter as Counts
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common.errors import StoreUnavailable
from common.jobs.store import JobStore, Stats, Took
from common.model import JOB_ENDED
from common.outputs.specs import KINDS
from common.telemetry import metrics
from common.telemetry.metrics import Family

# The bounds by which job_status.lua counts.
TOOK_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class StoreCollector(metrics.Collector):
    """Reads the job store; ``framemill_store_up`` is 0 while it is away."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Family]:
        """Yield the store's figures."""
        try:
            stats, workers = self._store.stats(), self._store.workers()
            share = self._store.memory_share()
        except StoreUnavailable:
            yield metrics.STORE_UP.family([((), 0)])
            return
        yield metrics.STORE_UP.family([((), 1)])
        yield metrics.STORE_MEMORY.family([((), share)])
        yield from _now(stats)
        yield from _happened(stats)
        yield metrics.SANDBOX_WORKERS.family(_sandboxes(workers))
        yield from self.more(stats)

    def more(self, _stats: Stats) -> Iterator[Family]:
        """Yield what a part adds, from the same counts."""
        return iter(())


def _now(stats: Stats) -> Iterator[Family]:
    jobs, pending, oldest = stats.jobs, stats.pending, stats.oldest_pending_seconds
    yield metrics.JOBS.family(((status,), n) for status, n in jobs.items())
    yield metrics.TASKS_PENDING.family(((queue,), n) for queue, n in pending.items())
    yield metrics.OLDEST_PENDING.family(
        ((queue,), seconds or 0) for queue, seconds in oldest.items()
    )
    yield metrics.TASKS_LEASED.family([((), stats.leased)])
    yield metrics.TASKS_DEAD.family([((), stats.dead)])
    yield metrics.WORKERS.family([((), stats.workers)])
    if stats.reaper_seconds is not None:
        yield metrics.REAPER_AGE.family([((), stats.reaper_seconds)])


def _happened(stats: Stats) -> Iterator[Family]:
    """Yield what only grows; what has not happened yet is 0, so that it can grow."""
    events = Counts(stats.counters)
    for metric, event in (
        (metrics.JOBS_ACCEPTED, "accepted"),
        (metrics.TASKS_GIVEN_UP, "dead"),
        (metrics.COMMITS_REFUSED, "refused"),
        (metrics.TASKS_REFUNDED, "refunded"),
        (metrics.MESSAGES_RESENT, "republished"),
    ):
        yield metric.family([((), events[event])])
    yield metrics.JOBS_ENDED.family(
        ((status,), events[status]) for status in sorted(JOB_ENDED)
    )
    yield metrics.LEASES_LOST.family(
        ((reason,), events[event]) for event, reason in metrics.LOSSES.items()
    )
    yield metrics.OUTAGES.family(
        [(("reaper",), events["outages"]), (("storage",), events["away"])]
    )
    yield metrics.FAILURES.family(((code,), n) for code, n in stats.failures.items())
    yield metrics.OUTPUT_SECONDS.histogram(
        ((kind,), *_by_bounds(stats.took.get(kind, Took({}, 0)))) for kind in KINDS
    )


def _by_bounds(took: Took) -> tuple[dict[float, int], float]:
    names = {f"{bound}": float(bound) for bound in TOOK_SECONDS} | {"inf": math.inf}
    return {bound: took.counts.get(name, 0) for name, bound in names.items()}, (
        took.seconds
    )


def _sandboxes(
    workers: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield how many workers confine decoders by each layer, and how many do not."""
    counts: Counts[tuple[str, str]] = Counts()
    for one in workers:
        sandbox = one["info"].get("sandbox", {})
        counts.update((layer, "yes") for layer in sandbox.get("active", ()))
        counts.update((layer, "no") for layer in sandbox.get("missing", ()))
    yield from sorted(counts.items())
