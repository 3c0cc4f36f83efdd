"""The part of the OpenAPI document on batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_JSON = "application/json"
_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_HEADERS = ("Location", "Retry-After", "Preference-Applied")
_EXAMPLE = {
    "prefix": {
        "s3": {"bucket": "framemill", "prefix": "films/2026/", "suffix": ".mp4"}
    },
    "preset": "web",
    "metadata": {"season": 2},
}


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _problems(statuses: Iterable[int]) -> dict[str, Any]:
    return {str(one): _ref("responses", f"Problem{one}") for one in sorted(statuses)}


def _answer(text: str, schema: str, *headers: str) -> dict[str, Any]:
    names = ("X-Request-Id", *headers)
    return {
        "description": text,
        "headers": {name: _ref("headers", name) for name in names},
        "content": {_JSON: {"schema": _ref("schemas", schema)}},
    }


def _batches(*statuses: int) -> dict[str, Any]:
    texts = {
        200: "The batch, ended within the wait.",
        202: "The batch, accepted or under way.",
    }
    return {str(one): _answer(texts[one], "BatchView", *_HEADERS) for one in statuses}


def parameters() -> dict[str, Any]:
    """Give the parameters that only these operations have, and the filter by batch."""
    return {
        "BatchId": {
            "name": "batch_id",
            "in": "path",
            "required": True,
            "schema": _ID,
            "description": "The batch's id.",
        },
        "OfBatch": {
            "name": "batch",
            "in": "query",
            "required": False,
            "schema": _ID,
            "description": "Only the jobs of this batch.",
        },
    }


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Give the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    one = [_ref("parameters", "BatchId")]
    return {
        "/v1/batches": {"post": _create(common), "get": _list(common)},
        "/v1/batches/{batch_id}": {
            "parameters": one,
            "get": _show(common),
            "delete": _delete(common),
        },
        "/v1/batches/{batch_id}/cancel": {"parameters": one, "post": _cancel(common)},
    }


def _operation(name: str, summary: str, **rest: Any) -> dict[str, Any]:
    return {"operationId": name, "tags": ["batches"], "summary": summary, **rest}


def _create(common: set[int]) -> dict[str, Any]:
    return _operation(
        "createBatch",
        "Submit many videos",
        description="The jobs are made one by one after the answer, as fast as the "
        "key's quotas and the service have room for them.",
        requestBody={
            "required": True,
            "content": {
                _JSON: {"schema": _ref("schemas", "BatchRequest"), "example": _EXAMPLE}
            },
        },
        parameters=[_ref("parameters", "Prefer")],
        responses=_batches(200, 202) | _problems(common | {404, 413, 415}),
    )


def _list(common: set[int]) -> dict[str, Any]:
    return _operation(
        "listBatches",
        "List batches, newest first",
        parameters=[_ref("parameters", "Limit"), _ref("parameters", "Cursor")],
        responses={"200": _answer("One page.", "BatchListView")} | _problems(common),
    )


def _show(common: set[int]) -> dict[str, Any]:
    return _operation(
        "getBatch",
        "Show a batch, its jobs counted",
        parameters=[_ref("parameters", "Prefer"), _ref("parameters", "IfNoneMatch")],
        responses=_batches(202)
        | {
            "200": _answer("The batch.", "BatchView", "ETag", *_HEADERS[1:]),
            "304": {"description": "The batch is as If-None-Match says."},
        }
        | _problems(common | {404}),
    )


def _cancel(common: set[int]) -> dict[str, Any]:
    return _operation(
        "cancelBatch",
        "Make no more jobs, and end those that have not ended",
        description="The jobs are ended one by one, after the answer.",
        parameters=[_ref("parameters", "Prefer")],
        responses=_batches(200, 202) | _problems(common | {404, 409}),
    )


def _delete(common: set[int]) -> dict[str, Any]:
    return _operation(
        "deleteBatch",
        "Remove a batch, and all its jobs with their files",
        responses={"204": {"description": "It is gone; its jobs go one by one."}}
        | _problems(common | {404}),
    )
