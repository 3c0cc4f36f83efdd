"""Examples in the OpenAPI document: requests, each answer, each refusal.

``examples/views.json`` holds documents that a service sent; a test checks them against
their schemas.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common.errors import catalogue

_VIEWS = Path(__file__).with_name("examples") / "views.json"
_PAGES = {
    "JobListView": ("jobs", "JobView"),
    "BatchListView": ("batches", "BatchView"),
    "DeliveryListView": ("deliveries", "DeliveryView"),
}
# The error code whose example stands for all of a status.
_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    409: "conflict",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    423: "upload_locked",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}


def add(schemas: dict[str, Any]) -> dict[str, Any]:
    """Add an example to the schema of each answer; returns the same schemas."""
    views = json.loads(_VIEWS.read_text("utf-8"))
    for name, (field, item) in _PAGES.items():
        views[name] = {field: [views[item]], "next": None}
    for name, view in views.items():
        schemas[name]["examples"] = [view]
    return schemas


def problem(status: int) -> dict[str, Any]:
    """Return an example of a refusal with that status."""
    kind = catalogue()[_CODES[status]]
    fault = {
        "pointer": "/outputs/0/width",
        "detail": "'width' must be at most 8192",
        "hint": None,
    }
    return {
        "type": f"/docs/errors#{kind.code}",
        "code": kind.code,
        "title": kind.title,
        "status": kind.status,
        "detail": fault["detail"] if status == 422 else kind.title,
        "pointer": fault["pointer"] if status == 422 else None,
        "hint": None,
        "faults": [fault] if status == 422 else [],
        "request_id": "0123456789abcdef0123456789abcdef",
    }
