"""The OpenAPI operations for those who run the service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.http.openapi import answer, parameter, problems
from api.http.openapi import parameters as references

# The kinds of tasks; see common/jobs/store/records.py.
TASK = (
    r"^[0-9a-f]{32}:"
    r"(prepare|batch|o:[a-z0-9][a-z0-9_-]{0,63}(:[0-9]{1,9})?|n:[0-9]{1,9})$"
)


def parameters() -> dict[str, Any]:
    """Return the parameters that only these operations have."""
    task = {"type": "string", "pattern": TASK}
    return {
        "TaskId": parameter(
            "task_id",
            "path",
            task | {"examples": ["0123456789abcdef0123456789abcdef:o:thumbnail"]},
            "The task's id.",
            required=True,
        )
    }


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Return the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    return {
        "/v1/operations": {
            "get": _operation(
                "getOperations",
                "Show queues, workers, the last hour and dead letters",
                {"200": answer("The service as it is.", "OperationsView")},
                common,
            )
        },
        "/v1/operations/dead-letters/{task_id}/redrive": {
            "parameters": references("TaskId"),
            "post": _operation(
                "redriveDeadLetter",
                "Run a task that was given up again, with renewed attempts",
                {"202": answer("It is at work again.", "RedrivenView")},
                common | {404, 409},
            ),
        },
    }


def _operation(
    name: str, summary: str, answers: dict[str, Any], refusals: set[int]
) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["operation"],
        "summary": summary,
        "description": "Needs an API key with the scope `admin`.",
        "responses": answers | problems(refusals),
    }
