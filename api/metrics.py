"""Prometheus metrics: this process's requests, the store's counts at each scrape."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.errors import StoreUnavailable
from common.jobs.store import JobStore, Stats

_KNOWN = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


# Counts the reasons why accepted jobs would wait.
Look = Callable[[Stats], int]


class Metrics:
    """The metrics of one API process."""

    def __init__(self, store: JobStore, look: Look) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "framemill_http_requests",
            "Requests answered, by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "framemill_http_request_seconds",
            "Time to an answer.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._store = _StoreCollector(store, look)
        self._registry.register(self._store)

    def count_request(
        self, method: str, route: str, status: int, seconds: float
    ) -> None:
        """Count one answered request."""
        known = method if method in _KNOWN else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def expose(self) -> bytes:
        """Write everything in the Prometheus text format.

        With PROMETHEUS_MULTIPROC_DIR set, the requests of all processes are summed.
        """
        registry = CollectorRegistry()
        try:
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        except ValueError:
            return generate_latest(self._registry)
        registry.register(self._store)
        return generate_latest(registry)


class _StoreCollector(Collector):
    """Reads the store at each scrape; ``framemill_store_up`` is 0 while it is away."""

    def __init__(self, store: JobStore, look: Look) -> None:
        self._job_store = store
        self._look = look

    def describe(self) -> Iterator[Metric]:
        """Return nothing in advance: registering must not call the store."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the store's counts."""
        try:
            stats = self._job_store.stats()
            workers = self._job_store.workers()
        except StoreUnavailable:
            yield _gauge("store_up", "Whether the job store answers.", 0)
            return
        yield _gauge("store_up", "Whether the job store answers.", 1)
        yield from _families(stats)
        yield _sandboxes(workers)
        yield _gauge(
            "degraded",
            "Reasons why accepted jobs wait; /readyz has them.",
            self._look(stats),
        )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"framemill_{name}", text, value=value)


def _sandboxes(workers: Sequence[Mapping[str, Any]]) -> Metric:
    """Return how many workers confine decoders by each layer, and how many do not."""
    family = GaugeMetricFamily(
        "framemill_sandbox_workers",
        "Workers with and without a layer of the sandbox.",
        labels=["layer", "active"],
    )
    counts: Counts[tuple[str, str]] = Counts()
    for one in workers:
        sandbox = one["info"].get("sandbox", {})
        counts.update((layer, "yes") for layer in sandbox.get("active", ()))
        counts.update((layer, "no") for layer in sandbox.get("missing", ()))
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)
    return family


def _families(stats: Stats) -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "framemill_pieces_pending", "Tasks that wait for a worker.", labels=["queue"]
    )
    for queue, count in stats.pending.items():
        depth.add_metric([queue], count)
    yield depth
    age = GaugeMetricFamily(
        "framemill_oldest_pending_seconds",
        "Age of the oldest of these.",
        labels=["queue"],
    )
    for queue, seconds in stats.oldest_pending_seconds.items():
        age.add_metric([queue], seconds or 0)
    yield age
    jobs = GaugeMetricFamily("framemill_jobs", "Jobs on record.", labels=["status"])
    for status, count in stats.jobs.items():
        jobs.add_metric([status], count)
    yield jobs
    yield _gauge("pieces_leased", "Tasks in the hands of workers.", stats.leased)
    yield _gauge("pieces_dead", "Tasks given up.", stats.dead)
    yield _gauge("workers", "Workers heard of lately.", stats.workers)
    if stats.reaper_seconds is not None:
        yield _gauge(
            "reaper_age_seconds", "Since the last sweep.", stats.reaper_seconds
        )
    events = CounterMetricFamily(
        "framemill_events", "What happened to jobs and tasks.", labels=["event"]
    )
    for event, count in stats.counters.items():
        events.add_metric([event], count)
    yield events
