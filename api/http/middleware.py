"""Hooks around every request: its id, headers, compression, CORS, metrics, the log."""

from __future__ import annotations

import time

import structlog
from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix

from api.http import context
from api.http.auth import add_rate_limit_headers
from api.http.compression import compress
from api.http.headers import trace_context
from common.model import JobOrigin
from common.settings.sections import Api
from common.telemetry import metrics, origin, traces

# API documents need nothing of a browser; the pages set a policy of their own.
_POLICY = "default-src 'none'; frame-ancestors 'none'"
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_EXPOSED = (
    "ETag, Location, Link, Preference-Applied, RateLimit, RateLimit-Policy, "
    "Retry-After, Idempotent-Replayed, Upload-Offset, Upload-Length, Upload-Expires, "
    "Tus-Resumable, X-Request-Id"
)
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_PREFLIGHT_SECONDS = "7200"
# Each other name that a client makes up would be a series of its own.
_KNOWN = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Asked every few seconds by machines.
_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})

log = structlog.get_logger(__name__)


def install(app: Flask, settings: Api) -> None:
    """Add the hooks to an app."""
    if hops := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops
        )

    @app.before_request
    def begin() -> None:
        current = context.begin()
        parent, state = trace_context(request)
        given = JobOrigin(
            request_id=current.request_id, traceparent=parent, tracestate=state
        )
        span = traces.root(_span_name(), "server", given, {})
        path = request.path
        traced = None if path in _UNTRACED else current.ending.enter_context(span)
        origin.begin(traced or given)

    @app.teardown_request
    def close(_: BaseException | None) -> None:
        context.current().ending.close()

    @app.after_request
    def end(response: Response) -> Response:
        given = {name.lower() for name, _ in response.headers}
        for name, value in _SECURITY_HEADERS.items():
            if name.lower() not in given:
                response.headers.add(name, value)
        response.headers["X-Request-Id"] = context.current().request_id
        add_rate_limit_headers(response)
        compress(response)
        _allow_origin(response, settings.cors_origins)
        _record(response)
        return response


def _span_name() -> str:
    """Name the request by its route: a path would be a name of its own each time."""
    method = request.method if request.method in _KNOWN else "other"
    return f"{method} {request.url_rule}" if request.url_rule else method


def _allow_origin(response: Response, allowed: list[str]) -> None:
    if not allowed:
        return
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin is None or not ("*" in allowed or origin in allowed):
        return
    response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if (
        request.method == "OPTIONS"
        and "Access-Control-Request-Method" in request.headers
    ):
        requested = request.headers.get("Access-Control-Request-Headers", "")
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = requested[:1000]
        response.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS


def _record(response: Response) -> None:
    seconds = time.perf_counter() - context.current().began
    route = request.url_rule.rule if request.url_rule else "unknown"
    status = response.status_code
    method = request.method if request.method in _KNOWN else "other"
    metrics.REQUESTS.add(method=method, route=route, status=str(status))
    metrics.REQUEST_SECONDS.observe(seconds, route=route)
    failed = f"status {status}" if status >= 500 else None
    facts: dict[str, traces.Fact] = {"http.response.status_code": status}
    traces.note(facts | {"http.route": route}, failed)
    (log.debug if status < 400 else log.info)(
        "http.request",
        method=request.method,
        route=route,
        status=status,
        milliseconds=round(seconds * 1000, 1),
    )
