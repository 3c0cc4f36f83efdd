"""Count what a process does, and expose it to Prometheus.

All metrics of the service are declared below, and docs/reference/metrics.md is their
table. What happens in a process is counted there, by :class:`Counter` and
:class:`Histogram`. What the job store knows is read at each scrape, by a collector that
fills the :class:`Read` metrics.

The API has ``/metrics``. A worker and the reaper :func:`serve` theirs on a port. The
tasks of a worker run in forked processes, which come and go: after :func:`gather`, each
sends what it counts through a pipe to the process that forked it. So a killed one loses
nothing that it counted, and a new one begins no new series. (prometheus-client's files
for several processes stay after each that ended, and a disk without room ends the
process that writes to one.)
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, get_args
from wsgiref.simple_server import WSGIServer

import prometheus_client as client
from prometheus_client import multiprocess
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as _Family
from prometheus_client.registry import Collector as _Collector

from common.forks import no_fork
from common.settings import sections
from common.settings.load import SettingsError

Part = Literal["api", "worker", "reaper"]
Kind = Literal["counter", "gauge", "histogram"]
Family = _Family
Samples = Iterable[tuple[Sequence[str], float]]
ALL: tuple[Part, ...] = get_args(Part)
_PIPE_BYTES = 1 << 20
_FAMILIES: dict[Kind, type[CounterMetricFamily | GaugeMetricFamily]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}


class Collector(_Collector):
    """What reads figures at each scrape."""

    def describe(self) -> Iterator[Family]:
        """Return nothing in advance: registering must not ask for the figures."""
        return iter(())


class Metric:
    """One metric: its full name, what it means, its labels, the parts that have it.

    ``labels`` has the meaning of each label by its name.
    """

    declared: list[Metric] = []  # noqa: RUF012 - the one list of all

    def __init__(
        self,
        name: str,
        text: str,
        labels: Mapping[str, str] | None = None,
        *,
        kind: Kind,
        parts: Sequence[Part],
    ) -> None:
        self.name = f"framemill_{name}"
        self.text = text
        self.labels = dict(labels or {})
        self.kind = kind
        self.parts = tuple(parts)
        self.declared.append(self)


class Counted(Metric, ABC):
    """One that is counted where it happens, in ``series``."""

    counted: list[Counted] = []  # noqa: RUF012 - the one list of all
    series: client.Counter | client.Histogram

    def record(self, values: Sequence[str], amount: float) -> None:
        """Add to this process's own figures."""
        # Of a metric with labels only the series of their values counts.
        self._add(self.series.labels(*values) if values else self.series, amount)

    @staticmethod
    @abstractmethod
    def _add(series: Any, amount: float) -> None:
        """Add to a series; each kind of series has its own verb."""

    def _note(self, labels: Mapping[str, str], amount: float) -> None:
        values = [labels[name] for name in self.labels]
        if _gathering is not None and _gathering.sends:
            _gathering.send(self.counted.index(self), values, amount)
            return
        # A fork while a thread holds a series' lock would leave it locked in the child.
        with no_fork():
            self.record(values, amount)


class Counter(Counted):
    """Something that is counted.

    ``known`` lists values of the labels whose series begin at 0, so that the first
    increase is seen as one.
    """

    def __init__(
        self,
        name: str,
        text: str,
        labels: Mapping[str, str] | None = None,
        *,
        parts: Sequence[Part],
        known: Iterable[Sequence[str]] = (),
    ) -> None:
        super().__init__(name, text, labels, kind="counter", parts=parts)
        self.series = client.Counter(self.name, text, list(self.labels), registry=None)
        self.counted.append(self)
        for values in known:
            self.series.labels(*values)

    def add(self, amount: float = 1, **labels: str) -> None:
        """Count; every label must have a value."""
        self._note(labels, amount)

    @staticmethod
    def _add(series: Any, amount: float) -> None:
        series.inc(amount)


class Histogram(Counted):
    """How long something took, in seconds."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Mapping[str, str],
        *,
        parts: Sequence[Part],
        buckets: Sequence[float],
    ) -> None:
        super().__init__(name, text, labels, kind="histogram", parts=parts)
        self.series = client.Histogram(
            self.name, text, list(self.labels), registry=None, buckets=buckets
        )
        self.counted.append(self)

    def observe(self, seconds: float, **labels: str) -> None:
        """Count one that took so long; every label must have a value."""
        self._note(labels, seconds)

    @staticmethod
    def _add(series: Any, amount: float) -> None:
        series.observe(amount)


class Read(Metric):
    """Something that a collector reads at each scrape."""

    def family(self, samples: Samples) -> Family:
        """Return it with these values, each behind the values of its labels."""
        family = _FAMILIES[self.kind](self.name, self.text, labels=list(self.labels))
        for labels, value in samples:
            family.add_metric(labels, value)
        return family

    def histogram(
        self, samples: Iterable[tuple[Sequence[str], Mapping[float, int], float]]
    ) -> Family:
        """Return it with these counts by their upper bounds, and the sum of each."""
        family = HistogramMetricFamily(self.name, self.text, labels=list(self.labels))
        for labels, counts, total in samples:
            family.add_metric(labels, _cumulative(counts), total)
        return family


_STORE: tuple[Part, ...] = ("api", "reaper")
_QUEUE = {"queue": "`fast` or `slow`"}
_TASK = "`prepare`, `render`, `publish`, `deliver` or `batch`"
_OUTPUT = {"kind": "the kind of output"}
_CODE = "a [code](errors.md)"
TASKS = {
    "prepare": "prepare",
    "render": "render",
    "publish": "publish",
    "notice": "deliver",
    "batch": "batch",
}
ENDS = ("done", "refused", "retry", "refund", "wait", "fatal", "cancelled", "lost")
LOSSES = {"expired": "silent", "died": "died"}
_SHORT = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_LONG = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)

# What requests cost.
REQUESTS = Counter(
    "http_requests",
    "Requests answered.",
    {
        "method": "of HTTP; `other` is none that is known",
        "route": "as in the API's document; `unknown` is none",
        "status": "of the answer",
    },
    parts=("api",),
)
REQUEST_SECONDS = Histogram(
    "http_request_seconds",
    "Time from the head of a request to its answer.",
    {"route": "as above"},
    parts=("api",),
    buckets=_SHORT,
)
DEGRADED = Read(
    "degraded",
    "Reasons why accepted jobs wait or are done unsafely; `/readyz` has them.",
    kind="gauge",
    parts=("api",),
)

# What the job store knows.
STORE_UP = Read(
    "store_up",
    "Whether the job store answers. While it is 0 the other figures of the store are "
    "missing.",
    kind="gauge",
    parts=_STORE,
)
STORE_MEMORY = Read(
    "store_memory_ratio",
    "Share of its maxmemory that the job store has taken; 0 if it has no limit. Over "
    "`FRAMEMILL_LIMITS_STORE_PERCENT` no job is accepted.",
    kind="gauge",
    parts=_STORE,
)
JOBS = Read(
    "jobs",
    "Jobs on record.",
    {"status": "of the job"},
    kind="gauge",
    parts=_STORE,
)
JOBS_ACCEPTED = Read("jobs_accepted", "Jobs accepted.", kind="counter", parts=_STORE)
JOBS_ENDED = Read(
    "jobs_ended",
    "Jobs that ended.",
    {"status": "`completed`, `partial`, `failed` or `cancelled`"},
    kind="counter",
    parts=_STORE,
)
FAILURES = Read(
    "failures",
    "Sources, outputs, deliveries and batches that failed for good.",
    {"code": _CODE},
    kind="counter",
    parts=_STORE,
)
OUTPUT_SECONDS = Read(
    "output_seconds",
    "Time from the acceptance of a job to the success of its output, without jobs that "
    "were run again.",
    _OUTPUT,
    kind="histogram",
    parts=_STORE,
)
TASKS_PENDING = Read(
    "tasks_pending",
    "Tasks that wait for a worker, or pause before another attempt.",
    _QUEUE,
    kind="gauge",
    parts=_STORE,
)
OLDEST_PENDING = Read(
    "oldest_pending_seconds",
    "How long the oldest task has waited that a worker could take.",
    _QUEUE,
    kind="gauge",
    parts=_STORE,
)
TASKS_LEASED = Read(
    "tasks_leased", "Tasks in the hands of workers.", kind="gauge", parts=_STORE
)
TASKS_DEAD = Read(
    "tasks_dead",
    "Tasks in the list of dead letters.",
    kind="gauge",
    parts=_STORE,
)
TASKS_GIVEN_UP = Read(
    "tasks_given_up",
    "Tasks that became dead letters.",
    kind="counter",
    parts=_STORE,
)
LEASES_LOST = Read(
    "leases_lost",
    "Claims whose worker did not end them; the task was queued again or given up.",
    {"reason": "`silent`: no heartbeat came in time; `died`: the pool process died"},
    kind="counter",
    parts=_STORE,
)
COMMITS_REFUSED = Read(
    "commits_refused",
    "Results of workers that had lost their claim; nothing of them is published.",
    kind="counter",
    parts=_STORE,
)
TASKS_REFUNDED = Read(
    "tasks_refunded",
    "Tasks that a stopping worker gave back.",
    kind="counter",
    parts=_STORE,
)
MESSAGES_RESENT = Read(
    "messages_resent",
    "Messages that the reaper sent again, since no worker had come for the task.",
    kind="counter",
    parts=_STORE,
)
OUTAGES = Read(
    "outages",
    "Times that a part was away: the reaper or the store for all, or the storage or a "
    "disk for one host.",
    {"part": "`reaper` or `storage`"},
    kind="counter",
    parts=_STORE,
)
WORKERS = Read("workers", "Workers heard of lately.", kind="gauge", parts=_STORE)
REAPER_AGE = Read(
    "reaper_age_seconds",
    "Time since the last pass of a reaper; missing if there was none.",
    kind="gauge",
    parts=_STORE,
)
SANDBOX_WORKERS = Read(
    "sandbox_workers",
    "Workers with and without a layer of the sandbox.",
    {
        "layer": "see [sandbox](../explanation/sandbox.md)",
        "active": "`yes` or `no`",
    },
    kind="gauge",
    parts=_STORE,
)

# What workers do.
ATTEMPTS = Counter(
    "task_attempts",
    "Attempts that ended.",
    {
        "kind": _TASK,
        "end": "`done`; `retry`, `fatal`, `cancelled`; `refund` of a stopping worker; "
        "`wait` for a part that is away; `lost` or `refused`: another worker has it",
    },
    parts=("worker",),
    known=[(kind, end) for kind in TASKS.values() for end in ENDS],
)
ATTEMPT_SECONDS = Histogram(
    "task_seconds",
    "Time of an attempt, from its claim to its end.",
    {"kind": _TASK},
    parts=("worker",),
    buckets=_LONG,
)
RETRIES = Counter(
    "task_retries",
    "Attempts that failed and will be made again.",
    {"kind": _TASK, "code": _CODE},
    parts=("worker",),
)
FFMPEG_SECONDS = Counter(
    "ffmpeg_seconds",
    "Time that FFmpeg ran for outputs, without waiting for bytes of the source.",
    _OUTPUT,
    parts=("worker",),
)
FFMPEG_CPU_SECONDS = Counter(
    "ffmpeg_cpu_seconds",
    "CPU time of these runs, of those that were not killed.",
    _OUTPUT,
    parts=("worker",),
)
FFMPEG_RUNS = Counter(
    "ffmpeg_runs",
    "Runs of FFmpeg for outputs.",
    {
        **_OUTPUT,
        "result": "`ok`, `failed` (another alternative may follow) or `killed`",
    },
    parts=("worker",),
)
SOURCE_READ_BYTES = Counter(
    "source_read_bytes",
    "Bytes fetched of sources.",
    {"access": "`sparse`: the ranges that were needed; `whole`: all of it"},
    parts=("worker",),
    known=[("sparse",), ("whole",)],
)
SOURCE_OPENS = Counter(
    "source_opens",
    "Attempts that read a source.",
    {
        "cache": "`hit`: all that was read was on this host already; `miss`: some was "
        "fetched; `local`: the storage is a folder of this host"
    },
    parts=("worker",),
    known=[("hit",), ("miss",), ("local",)],
)

# What the storage costs every part.
STORAGE_SECONDS = Histogram(
    "storage_seconds",
    "Time of a call of the storage; of a read, until its first byte.",
    {"operation": "`head`, `read`, `put` and the like"},
    parts=ALL,
    buckets=_SHORT,
)
STORAGE_ERRORS = Counter(
    "storage_errors",
    "Calls of the storage that failed, by the storage's fault.",
    {
        "operation": "as above",
        "code": "`storage_unavailable`, `storage_denied` or `disk_full`",
    },
    parts=ALL,
)

# What the reaper does.
SWEEPS = Counter(
    "sweeps",
    "Passes of this reaper.",
    {"result": "`ok`, or `store_away`"},
    parts=("reaper",),
    known=[("ok",), ("store_away",)],
)
CLEANUPS = Counter(
    "cleanups",
    "Removals past retention.",
    {"result": "`done`, or `deferred`: the storage was away"},
    parts=("reaper",),
    known=[("done",), ("deferred",)],
)
COUNTS_DROPPED = Counter(
    "counts_dropped",
    "Counts of pool processes that their worker did not take in time; the other "
    "figures of that worker are too low by as many.",
    parts=("worker",),
)


def registry(part: Part, *collectors: Collector) -> client.CollectorRegistry:
    """Return what a part exposes: its metrics, the process's, those of collectors.

    With PROMETHEUS_MULTIPROC_DIR set, the figures of all processes that have that
    folder are summed.
    """
    found = client.CollectorRegistry()
    try:
        multiprocess.MultiProcessCollector(found)  # type: ignore[no-untyped-call]
    except ValueError:  # it is not set
        client.ProcessCollector(registry=found)
        for metric in Metric.declared:
            if isinstance(metric, Counted) and part in metric.parts:
                found.register(metric.series)
    for collector in collectors:
        found.register(collector)
    return found


def expose(of: client.CollectorRegistry) -> bytes:
    """Write everything in the Prometheus text format."""
    return client.generate_latest(of)


def serve(settings: sections.Metrics, part: Part, *collectors: Collector) -> None:
    """Serve the metrics on the port of the settings, if they name one.

    Raises SettingsError where the port cannot be had.
    """
    if not settings.port:
        return
    try:
        server, _ = client.start_http_server(
            settings.port, settings.host, registry(part, *collectors)
        )
    except OSError as error:
        raise SettingsError(
            f"FRAMEMILL_METRICS_PORT: {settings.host}:{settings.port} cannot be "
            f"served: {error.strerror}; give each worker and reaper of a host a port "
            "of its own"
        ) from error
    _close_in_children(server)


def gather() -> None:
    """Have processes that are forked from now on send here what they count."""
    global _gathering  # noqa: PLW0603 - one for this process
    if _gathering is None:
        _gathering = _Gathering()


class _Gathering:
    """A pipe from forked processes to this one, and the thread that reads it.

    A line is ``[number of the metric, values of its labels, amount]`` as JSON. It is
    shorter than PIPE_BUF, so lines of several processes never mix.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        # A forked process must never wait for this one. 10,000 lines find room.
        os.set_blocking(self._writer, False)
        with suppress(OSError):  # more than a user may have in pipes
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._dropped = 0
        self.sends = False
        os.register_at_fork(after_in_child=self._begin_child)
        threading.Thread(target=self._read, name="metrics", daemon=True).start()

    def send(self, number: int, values: Sequence[str], amount: float) -> None:
        """Send one figure to the process that forked this one."""
        line = json.dumps([number, values, amount]).encode() + b"\n"
        if self._dropped:
            dropped = Counted.counted.index(COUNTS_DROPPED)
            line += json.dumps([dropped, [], self._dropped]).encode() + b"\n"
        try:
            os.write(self._writer, line)
        except BlockingIOError:
            self._dropped += 1
        else:
            self._dropped = 0

    def _begin_child(self) -> None:
        if not self.sends:
            os.close(self._reader)
        self.sends = True
        self._dropped = 0

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(self._reader, 1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                number, values, amount = json.loads(line)
                with no_fork():
                    Counted.counted[number].record(values, amount)


_gathering: _Gathering | None = None


def _close_in_children(server: WSGIServer) -> None:
    """Close the port in forked processes: it is free when this process has ended."""
    os.register_at_fork(after_in_child=server.socket.close)


def _cumulative(counts: Mapping[float, int]) -> list[tuple[str, float]]:
    """Return the buckets of a histogram: how many were at most each bound."""
    total, buckets = 0, []
    for bound, count in sorted(counts.items()):
        total += count
        buckets.append(("+Inf" if bound == math.inf else str(bound), float(total)))
    return buckets
