"""The OpenAPI operations on the signed links to files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.http.openapi import TEXT, parameter, problems, ref


def _parameter(name: str, place: str, schema: dict[str, Any], text: str) -> Any:
    return parameter(name, place, schema, text, required=True)


def _follow(name: str, summary: str, always: Iterable[int]) -> dict[str, Any]:
    moved = {
        "description": "A fresh permission to fetch the file.",
        "headers": {
            "Location": {
                "description": "The file, for an hour; ranges and HEAD work there.",
                "schema": {"type": "string", "format": "uri"},
            }
        },
    }
    return {
        "operationId": name,
        "tags": ["files"],
        "summary": summary,
        "description": "A job's document has this address. It is signed, needs no "
        "API key and stays the same for a UTC day.",
        "security": [],
        "responses": {"302": moved} | problems({*always, 404} - {401, 422, 429}),
    }


def _index() -> dict[str, Any]:
    content = {
        "text/vtt": {"schema": TEXT},
        "application/vnd.apple.mpegurl": {"schema": TEXT},
        "application/dash+xml": {"schema": TEXT},
        "application/json": {"schema": {"type": "object"}},
    }
    return {
        "description": "An index; the names in it are relative to its own address.",
        "content": content,
    }


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Return the paths of files."""
    job = ref("parameters", "JobId")
    number = {"type": "integer", "minimum": 0}
    place = [
        _parameter("output", "path", TEXT, "The output's name."),
        _parameter("fence", "path", number, "The number of the run that made it."),
        _parameter("key", "path", TEXT, "Expiry and our signature of the folder."),
        _parameter("file", "path", TEXT, "The file's name."),
    ]
    signed = [
        _parameter("e", "query", {"type": "integer"}, "Expiry, Unix seconds."),
        _parameter("s", "query", TEXT, "Our signature."),
    ]
    artifact = _follow("getArtifact", "Fetch an artifact", always)
    artifact["responses"] |= {
        "200": _index(),
        "206": _index(),
        "304": {"description": "It has not changed."},
        "416": {"description": "The file has no such range."},
    }
    return {
        "/v1/files/{job_id}/{output}/{fence}/{key}/{file}": {
            "parameters": [job, *place],
            "get": artifact,
        },
        "/v1/files/{job_id}/source": {
            "parameters": [job, *signed],
            "get": _follow("getSource", "Fetch the source, as a download", always),
        },
    }
