"""The OpenAPI operation that takes notifications of S3."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.http.openapi import JSON, answer, problems


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Return the path; ``always`` are the problems that every operation may have."""
    return {"/v1/events/s3": {"post": _take(set(always))}}


def _take(common: set[int]) -> dict[str, Any]:
    body = {"schema": {"type": "object"}}
    return {
        "operationId": "takeS3Events",
        "tags": ["notices"],
        "summary": "Receive a notification of new objects in S3",
        "description": "S3's form (MinIO's too), the same inside a signed SNS "
        "message, or EventBridge's. 404 until it is set up.",
        "security": [{"bearer": []}, {}],
        "requestBody": {
            "required": True,
            "content": {JSON: body, "text/plain": {"schema": {"type": "string"}}},
        },
        "responses": {"200": answer("The outcome for each object.", "NotifiedView")}
        | problems(common | {404, 413}),
    }
