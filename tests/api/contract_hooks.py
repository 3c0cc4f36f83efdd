"""What schemathesis is told of this API beyond its document."""

from __future__ import annotations

import re
from typing import Any

import schemathesis

from api.jobs import schemas as schema

BUCKET = "framemill"


@schemathesis.serializer("application/offset+octet-stream")
def write_bytes(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Name a bucket that jobs may read, or all that name one are refused."""
    if not isinstance(body, dict):
        return body
    sources = body.get("sources")
    requested = [body.get("source"), *(sources if isinstance(sources, list) else ())]
    for source in requested:
        place = source.get("s3") if isinstance(source, dict) else None
        if isinstance(place, dict) and _is_name(place.get("bucket")):
            place["bucket"] = BUCKET
    return body


def _is_name(value: Any) -> bool:
    """Return whether a bucket is valid as it is: what is wrong must stay wrong."""
    return isinstance(value, str) and bool(re.fullmatch(schema.BUCKET, value))


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Let every answer pass at once: thousands of cases are to come."""
    if "Prefer" in (case.headers or {}):
        case.headers["Prefer"] = "wait=0"
