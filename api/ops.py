"""``/healthz``, ``/readyz`` and ``/metrics``: for those who run the service."""

from __future__ import annotations

import json

from flask import Blueprint, Response

from api.guard import Authenticator, enter
from api.meters import Meters
from common.errors import FramemillError, Unavailable
from common.runtime import Runtime

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(
    runtime: Runtime, authenticator: Authenticator, meters: Meters
) -> Blueprint:
    """Make the views over one world."""
    routes = Blueprint("ops", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        return _json({"status": "ok"})

    @routes.get("/readyz")
    def readyz() -> Response:
        return _json(_check(runtime))

    @routes.get("/metrics")
    def metrics() -> Response:
        enter(authenticator, "admin")
        return Response(meters.expose(), content_type=_TEXT)

    return routes


def _check(runtime: Runtime) -> dict[str, object]:
    away: list[str] = []
    for name, ask in (("store", runtime.store.ping), ("blobs", runtime.blobs.check)):
        try:
            ask()
        except FramemillError as error:
            away.append(f"{name}: {error.detail}")
    if away:
        raise Unavailable("; ".join(away), hint="see the log of the part that is away")
    stats = runtime.store.stats()
    # Without a worker jobs are still accepted and wait: that is no reason to refuse.
    return {
        "status": "ok",
        "workers": stats.workers,
        "reaper_seconds": stats.reaper_seconds,
        "pending": stats.pending,
    }


def _json(document: dict[str, object]) -> Response:
    response = Response(json.dumps(document), mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
