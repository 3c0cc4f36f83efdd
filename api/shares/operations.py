"""The OpenAPI operations on shared jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.http.openapi import JSON, TEXT, answer, parameter, problems, raw, ref
from api.http.openapi import parameters as references


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Return the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    token = parameter(
        "token", "path", TEXT, "The end of a shared job's link.", required=True
    )
    shown = {"200": answer("The job.", "SharedJobView")}
    zipped = raw("application/zip")
    sent = {"200": answer("The zip.", zipped, kind="application/zip")}
    return {
        "/v1/jobs/{job_id}/share": {
            "parameters": references("JobId"),
            "post": _share(common),
        },
        "/s/{token}": {
            "parameters": [token],
            "get": _open("getSharedJob", "Show a shared job", shown, common - {429}),
        },
        "/s/{token}/archive": {
            "parameters": [token],
            "get": _open(
                "getSharedArchive", "Fetch a shared job's files", sent, common | {409}
            ),
        },
    }


def _share(common: set[int]) -> dict[str, Any]:
    return {
        "operationId": "shareJob",
        "tags": ["jobs"],
        "summary": "Make a link that shows a job to people without an API key",
        "description": "The link shows this job and its files, and nothing else.",
        "requestBody": {
            "required": False,
            "content": {JSON: {"schema": ref("schemas", "ShareRequest")}},
        },
        "responses": {"201": answer("The link.", "ShareView")}
        | problems(common | {404, 413, 415}),
    }


def _open(
    name: str, summary: str, answers: dict[str, Any], refusals: set[int]
) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["jobs"],
        "summary": summary,
        "security": [],
        "responses": answers | problems((refusals | {404}) - {401}),
    }
