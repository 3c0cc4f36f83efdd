"""``/healthz``, ``/readyz`` and ``/metrics``: for those who run the service."""

from __future__ import annotations

import json

from flask import Blueprint, Response

from api.http.services import Services
from api.metrics import Metrics
from common.errors import FramemillError, Unavailable
from common.jobs.store import Stats
from common.runtime import Runtime

_REAPER_SECONDS = 30.0
_SWEEPS_MISSED = 3
_SKEW_SECONDS = 30.0
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(services: Services, metrics: Metrics) -> Blueprint:
    """Return the routes."""
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
        return Response(metrics.expose(), content_type=_TEXT)

    return routes


def _check(runtime: Runtime) -> dict[str, object]:
    away: list[str] = []
    for name, ask in (("store", runtime.store.ping), ("blobs", runtime.blobs.check)):
        try:
            ask()
        except FramemillError as error:
            away.append(f"{name}: {error.detail}")
    if away:
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


def reasons(runtime: Runtime, stats: Stats) -> list[str]:
    """Return why jobs would wait, or be done unsafely; empty if all is well."""
    away = [
        f"{one.error.title} (seen from {one.host}): work waits for it. "
        f"{one.error.detail}"
        for one in stats.away
    ]
    sweep_seconds = runtime.settings.lease.sweep_seconds
    found = _missing(stats, sweep_seconds) + away
    return found + _skewed(runtime) + _unconfined(runtime)


def _missing(stats: Stats, sweep_seconds: float) -> list[str]:
    """Return the reasons why accepted jobs would not be done."""
    reasons = []
    if not stats.workers:
        reasons.append("no worker is running: jobs are accepted and wait")
    silence = stats.reaper_seconds
    if silence is None:
        reasons.append("no reaper is running: lost messages are not sent again")
    elif silence > max(_REAPER_SECONDS, _SWEEPS_MISSED * sweep_seconds):
        reasons.append(
            f"the reaper was last seen {silence:.0f} s ago: lost messages are not "
            "sent again"
        )
    return reasons


def _skewed(runtime: Runtime) -> list[str]:
    """Return whose clocks are so wrong that the storage may refuse signatures."""
    clocks = [("this API process", runtime.blobs.clock_skew())]
    clocks += [
        (f"worker {one['name']}", one["info"].get("clock_skew"))
        for one in runtime.store.workers()
    ]
    return [
        f"the clock of {name} is {skew:+.0f} s from the storage's"
        for name, skew in clocks
        if skew is not None and abs(skew) > _SKEW_SECONDS
    ]


def _unconfined(runtime: Runtime) -> list[str]:
    """Return which workers decode files without a layer of the sandbox."""
    return [
        f"worker {one['name']} decodes files without the layer {layer} of the "
        f"sandbox: {why}"
        for one in runtime.store.workers()
        for layer, why in one["info"].get("sandbox", {}).get("missing", {}).items()
    ]


def _json(document: dict[str, object]) -> Response:
    response = Response(json.dumps(document), mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
