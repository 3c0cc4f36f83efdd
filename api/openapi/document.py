"""The OpenAPI 3.1 document, put together from what each resource declares.

``python -m api.cli openapi > docs/openapi.json`` writes the committed copy; a test
compares it with what is served.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from api.batches import operations as batches
from api.cli.version import version
from api.files import operations as files
from api.http.cookies import COOKIE
from api.http.openapi import JSON, parameters, problems, ref
from api.http.problems import PROBLEM
from api.jobs import operations as jobs
from api.openapi import components, examples, links
from api.operators import operations as operators
from api.render import operations as render
from api.s3_events import operations as s3_events
from api.sessions import operations as sessions
from api.shares import operations as shares
from api.uploads import operations as uploads
from api.webhooks import operations as webhooks

_PROBLEMS = {
    400: "The body or a header cannot be parsed.",
    401: "No valid API key.",
    403: "Not allowed for this API key, or by this service.",
    404: "Unknown, expired, or owned by another key.",
    405: "The method is not allowed at this address.",
    408: "The request arrived too slowly.",
    409: "Not possible in this state.",
    413: "The body is over the size limit.",
    415: "The type of the body is not supported.",
    422: "Well-formed but not valid; every fault is listed.",
    423: "A part of the service is unavailable, or a limit is used up; try again.",
    429: "A rate limit or quota is used up.",
    500: "A defect of the service.",
    503: "A part of the service is unavailable; try again.",
}
_TAGS = ("jobs", "batches", "uploads", "files", "notices", "operation")
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}
# An S3 notification needs no Idempotency-Key: it names its object's version.
_NO_KEY = {"/v1/jobs", "/v1/jobs/file", "/v1/events/s3", "/session"}
_ALWAYS = (400, 401, 403, 405, 408, 422, 429, 500, 503)


def _paths() -> dict[str, Any]:
    paths = _own_paths()
    for path, operations in paths.items():
        if "post" in operations and path not in _NO_KEY:
            post = operations["post"]
            key = parameters("IdempotencyKey")
            post["parameters"] = [*post.get("parameters", []), *key]
            post["responses"] |= problems([409])
    return paths


def _own_paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for resource in (
        jobs,
        batches,
        webhooks,
        s3_events,
        uploads,
        files,
        sessions,
        shares,
        render,
        operators,
    ):
        paths |= resource.paths(_ALWAYS)
    return paths | {
        "/healthz": {"get": _plain("health", "Whether the process answers", JSON)},
        "/readyz": {"get": _plain("ready", "Whether store and storage answer", JSON)},
        "/metrics": {"get": _plain("metrics", "Prometheus metrics", "text/plain")},
    }


def _plain(name: str, summary: str, kind: str) -> dict[str, Any]:
    schema = {"type": "object"} if kind == JSON else {"type": "string"}
    operation: dict[str, Any] = {
        "operationId": name,
        "tags": ["operation"],
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {kind: {"schema": schema}}}
        }
        | problems(_ALWAYS),
    }
    if name != "metrics":
        operation["security"] = []
    return operation


def _all_parameters() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for resource in (jobs, batches, webhooks, uploads, operators):
        found |= resource.parameters()
    return found


def _all_headers() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    number = {"schema": {"type": "integer", "minimum": 0}}
    return {
        "X-Request-Id": {"description": "The request's id, as in the log."} | text,
        "Location": {"description": "The job's address."} | text,
        "Retry-After": {"description": "Seconds to wait before the next request."}
        | number,
        "Preference-Applied": {"description": "wait=N, if the preference was applied."}
        | text,
        "ETag": {"description": "Strong; of exactly this document."} | text,
        "RateLimit": {"description": "What remains of the key's limits."} | text,
        "RateLimit-Policy": {"description": "The key's limits."} | text,
        "Allow": {"description": "The methods of this address."} | text,
    }


def _problem(status: int, text: str) -> dict[str, Any]:
    extra = {
        405: ["Allow"],
        423: ["Retry-After", "RateLimit", "RateLimit-Policy"],
        429: ["Retry-After", "RateLimit", "RateLimit-Policy"],
        503: ["Retry-After"],
    }
    names = ["X-Request-Id", *extra.get(status, [])]
    return {
        "description": text,
        "headers": {name: ref("headers", name) for name in names},
        "content": {
            PROBLEM: {
                "schema": ref("schemas", "ProblemView"),
                "example": examples.problem(status),
            }
        },
    }


@cache
def document() -> dict[str, Any]:
    """Return the whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Framemill",
            "version": version(),
            "summary": "Turns videos into thumbnails, GIFs, previews and storyboards.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in _SECURITY],
        "tags": [{"name": name} for name in _TAGS],
        "paths": links.add(_paths()),
        "components": {
            "schemas": components.schemas(),
            "parameters": _all_parameters(),
            "headers": _all_headers(),
            "responses": {
                f"Problem{status}": _problem(status, text)
                for status, text in _PROBLEMS.items()
            },
            "securitySchemes": _SECURITY,
        },
    }


def text() -> str:
    """Return the document as it is committed and served."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"
