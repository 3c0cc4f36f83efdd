"""The words in which each resource declares its OpenAPI operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

JSON = "application/json"
FORM = "multipart/form-data"
TEXT: dict[str, Any] = {"type": "string"}
JOB_ID: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def raw(kind: str = "application/octet-stream") -> dict[str, Any]:
    """Return the schema of bytes, in the words of OpenAPI 3.1 and of 3.0."""
    return {"type": "string", "format": "binary", "contentMediaType": kind}


def ref(kind: str, name: str) -> dict[str, str]:
    """Return a reference to a component: of "schemas", "parameters" and so on."""
    return {"$ref": f"#/components/{kind}/{name}"}


def parameters(*names: str) -> list[dict[str, str]]:
    """Return references to parameters."""
    return [ref("parameters", name) for name in names]


def problems(statuses: Iterable[int]) -> dict[str, Any]:
    """Return the answers by which an operation refuses or fails, by status."""
    return {str(one): ref("responses", f"Problem{one}") for one in sorted(statuses)}


def answer(
    text: str, schema: str | dict[str, Any], *headers: str, kind: str = JSON
) -> dict[str, Any]:
    """Return an answer; ``schema`` is one, or the name of a component."""
    shown = ref("schemas", schema) if isinstance(schema, str) else schema
    return {
        "description": text,
        "headers": {name: ref("headers", name) for name in ("X-Request-Id", *headers)},
        "content": {kind: {"schema": shown}},
    }


def parameter(
    name: str, place: str, schema: dict[str, Any], text: str, *, required: bool = False
) -> dict[str, Any]:
    """Return a parameter; ``place`` is "path", "query" or "header"."""
    return {
        "name": name,
        "in": place,
        "required": required,
        "schema": schema,
        "description": text,
    }
