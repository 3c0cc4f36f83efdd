"""The OpenAPI operations on batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.http.openapi import JOB_ID, JSON, answer, parameter, problems, ref
from api.http.openapi import parameters as references

_HEADERS = ("Location", "Retry-After", "Preference-Applied")
_EXAMPLE = {
    "prefix": {
        "s3": {"bucket": "framemill", "prefix": "films/2026/", "suffix": ".mp4"}
    },
    "preset": "web",
    "metadata": {"season": 2},
}


def _batches(*statuses: int) -> dict[str, Any]:
    texts = {
        200: "The batch, ended within the wait.",
        202: "The batch, accepted or under way.",
    }
    return {str(one): answer(texts[one], "BatchView", *_HEADERS) for one in statuses}


def parameters() -> dict[str, Any]:
    """Return the parameters of these operations, and the filter of jobs by batch."""
    return {
        "BatchId": parameter(
            "batch_id", "path", JOB_ID, "The batch's id.", required=True
        ),
        "OfBatch": parameter("batch", "query", JOB_ID, "Only the jobs of this batch."),
    }


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Return the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    one = references("BatchId")
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
                JSON: {"schema": ref("schemas", "BatchRequest"), "example": _EXAMPLE}
            },
        },
        parameters=references("Prefer"),
        responses=_batches(200, 202) | problems(common | {404, 413, 415}),
    )


def _list(common: set[int]) -> dict[str, Any]:
    return _operation(
        "listBatches",
        "List batches, newest first",
        parameters=references("Limit", "Cursor"),
        responses={"200": answer("One page.", "BatchListView")} | problems(common),
    )


def _show(common: set[int]) -> dict[str, Any]:
    return _operation(
        "getBatch",
        "Show a batch, with the number of its jobs by status",
        parameters=references("Prefer", "IfNoneMatch"),
        responses=_batches(202)
        | {
            "200": answer("The batch.", "BatchView", "ETag", *_HEADERS[1:]),
            "304": {"description": "The batch has not changed since If-None-Match."},
        }
        | problems(common | {404}),
    )


def _cancel(common: set[int]) -> dict[str, Any]:
    return _operation(
        "cancelBatch",
        "Make no more jobs, and cancel those that have not ended",
        description="The jobs are cancelled one by one, after the answer.",
        parameters=references("Prefer"),
        responses=_batches(200, 202) | problems(common | {404, 409}),
    )


def _delete(common: set[int]) -> dict[str, Any]:
    return _operation(
        "deleteBatch",
        "Remove a batch, and all its jobs with their files",
        responses={
            "204": {"description": "The batch was deleted; its jobs follow one by one."}
        }
        | problems(common | {404}),
    )
