"""``/healthz``, ``/readyz`` and ``/metrics``: for those who run the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response

from api.http.services import Services
from common.errors import FramemillError, Unavailable
from common.jobs.metrics import StoreCollector
from common.jobs.queue import QUEUES, Dispatcher
from common.jobs.store import Stats
from common.runtime import Runtime
from common.settings.load import SettingsError
from common.telemetry import metrics
from common.telemetry.metrics import Family

_REAPER_SECONDS = 30.0
_SWEEPS_MISSED = 3
_SKEW_SECONDS = 30.0
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class _Collector(StoreCollector):
    """Reads the job store, and whether the service is whole."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime.store)
        self._runtime = runtime

    def more(self, stats: Stats) -> Iterator[Family]:
        """Yield the number of reasons why jobs would wait."""
        yield metrics.DEGRADED.family([((), len(reasons(self._runtime, stats)))])


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    registry = metrics.registry("api", _Collector(services.runtime))
    routes = Blueprint("ops", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        return _json({"status": "ok"})

    @routes.get("/readyz")
    def readyz() -> Response:
        return _json(_check(services.runtime))

    @routes.get("/metrics")
    def scrape() -> Response:
        services.enter("admin")
        return Response(metrics.expose(registry), content_type=_TEXT)

    return routes


def _check(runtime: Runtime) -> dict[str, object]:
    if away := refusals(runtime):
        raise Unavailable("; ".join(away), hint="the log of that part says why")
    stats = runtime.store.stats()
    why = reasons(runtime, stats)
    # Jobs are still accepted and wait, so the answer stays 200.
    return {
        "status": "degraded" if why else "ok",
        "reasons": why,
        "workers": stats.workers,
        "reaper_seconds": stats.reaper_seconds,
        "pending": stats.pending,
    }


def refusals(runtime: Runtime) -> list[str]:
    """Return why no job should be sent here now; empty if they are accepted.

    A part is away, or full, or may forget what it accepted. A broker that is away is no
    reason: the reaper sends its messages later.
    """
    found = []
    for name, ask in (
        ("store", runtime.store.check_writes),
        ("blobs", runtime.blobs.check),
        ("broker", runtime.dispatcher.check),
    ):
        try:
            ask()
        except FramemillError as error:
            if name != "broker":
                found.append(f"{name}: {error.detail}")
        except SettingsError as error:
            found.append(f"{name}: {error}")
    return found


def reasons(runtime: Runtime, stats: Stats) -> list[str]:
    """Return why jobs would wait, or be done unsafely; empty if all is well."""
    away = [
        f"{one.error.title} (seen from {one.host}): work waits for it. "
        f"{one.error.detail}"
        for one in stats.away
    ]
    sweep_seconds = runtime.settings.lease.sweep_seconds
    workers = runtime.store.workers()
    return (
        _missing(stats, workers)
        + _silent(stats, sweep_seconds)
        + _unsent(runtime.dispatcher)
        + away
        + _skewed(runtime, workers)
        + _unconfined(workers)
    )


def _missing(stats: Stats, workers: list[dict[str, Any]]) -> list[str]:
    """Return which work no worker does."""
    if not stats.workers:
        return ["no worker is running: jobs are accepted and wait"]
    # A worker of an earlier version may not say which queues it serves.
    served = {name for one in workers for name in one["info"].get("queues", QUEUES)}
    return [
        f"no worker takes tasks of the queue {name!r}: they wait"
        for name in QUEUES
        if name not in served
    ]


def _silent(stats: Stats, sweep_seconds: float) -> list[str]:
    """Return whether nobody recovers what is lost."""
    silence = stats.reaper_seconds
    if silence is None:
        return ["no reaper is running: lost messages are not sent again"]
    if silence > max(_REAPER_SECONDS, _SWEEPS_MISSED * sweep_seconds):
        since = f"the reaper was last seen {silence:.0f} s ago"
        return [f"{since}: lost messages are not sent again"]
    return []


def _unsent(dispatcher: Dispatcher) -> list[str]:
    """Return why messages are not sent now."""
    try:
        dispatcher.check()
    except Unavailable as error:
        return [f"{error.detail}: messages are sent once it takes them again"]
    except SettingsError as error:
        return [str(error)]
    return []


def _skewed(runtime: Runtime, workers: list[dict[str, Any]]) -> list[str]:
    """Return whose clocks are so wrong that the storage may refuse signatures."""
    clocks = [("this API process", runtime.blobs.clock_skew())]
    clocks += [
        (f"worker {one['name']}", one["info"].get("clock_skew")) for one in workers
    ]
    return [
        f"the clock of {name} is {skew:+.0f} s from the storage's"
        for name, skew in clocks
        if skew is not None and abs(skew) > _SKEW_SECONDS
    ]


def _unconfined(workers: list[dict[str, Any]]) -> list[str]:
    """Return which workers decode files without a layer of the sandbox."""
    return [
        f"worker {one['name']} decodes files without the layer {layer} of the "
        f"sandbox: {why}"
        for one in workers
        for layer, why in one["info"].get("sandbox", {}).get("missing", {}).items()
    ]


def _json(document: dict[str, object]) -> Response:
    response = Response(json.dumps(document), mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
