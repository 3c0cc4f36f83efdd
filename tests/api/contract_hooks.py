"""What schemathesis is told of this API beyond its document."""

from __future__ import annotations

import re
from typing import Any

import schemathesis

from api.http.openapi import FORM, JSON
from api.jobs import schemas as schema

BUCKET = "framemill"


@schemathesis.serializer("application/offset+octet-stream")
def write_bytes(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_load_schema(_context: Any, document: dict[str, Any]) -> None:
    """Add the form of /v1/jobs, which the document has in words alone.

    Programs that generate clients write one body for each operation.
    """
    request = document["components"]["schemas"]["JobRequest"]["properties"]
    place = "#/components/schemas/JobRequest/properties/"
    fields = {name: {"$ref": place + name} for name in request if name != "source"}
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]
    body["content"][FORM] = {
        "schema": {
            "type": "object",
            "required": ["file"],
            "additionalProperties": False,
            "properties": {"file": file, **fields},
        },
        "encoding": {name: {"contentType": JSON} for name in fields},
    }


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
