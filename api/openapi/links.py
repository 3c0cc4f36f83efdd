"""The links of the OpenAPI document: which operation an answer's id leads to."""

from __future__ import annotations

from typing import Any

_ID = "$response.body#/id"
_JOB = ("getJob", "cancelJob", "retryJob", "deleteJob", "streamEvents")
_UPLOAD = ("getUpload", "completeUpload", "abortUpload")
_BATCH = ("getBatch", "cancelBatch", "deleteBatch")
_DELIVERY = ("getDelivery", "replayDelivery")

# Operation, its status, the parameter, where its value stands, where it leads.
_LEADS: list[tuple[str, int, str, str, tuple[str, ...]]] = [
    ("createJob", 202, "job_id", _ID, _JOB),
    ("createJob", 200, "job_id", _ID, _JOB),
    ("retryJob", 202, "job_id", _ID, ("getJob", "cancelJob")),
    ("listJobs", 200, "job_id", "$response.body#/jobs/0/id", _JOB),
    ("listJobs", 200, "cursor", "$response.body#/next", ("listJobs",)),
    ("createBatch", 202, "batch_id", _ID, _BATCH),
    ("createBatch", 202, "batch", _ID, ("listJobs",)),
    ("listBatches", 200, "batch_id", "$response.body#/batches/0/id", _BATCH),
    ("listBatches", 200, "cursor", "$response.body#/next", ("listBatches",)),
    ("createWebhook", 201, "webhook_id", _ID, ("deleteWebhook",)),
    ("createUpload", 201, "upload_id", _ID, (*_UPLOAD, "listParts")),
    ("completeUpload", 200, "upload_id", _ID, ("getUpload",)),
    ("completeUpload", 200, "job_id", _ID, ("getJob",)),
    (
        "listDeliveries",
        200,
        "delivery_id",
        "$response.body#/deliveries/0/id",
        _DELIVERY,
    ),
    (
        "getOperations",
        200,
        "task_id",
        "$response.body#/dead_letters/0/task",
        ("redriveDeadLetter",),
    ),
    ("listDeliveries", 200, "cursor", "$response.body#/next", ("listDeliveries",)),
]


def add(paths: dict[str, Any]) -> dict[str, Any]:
    """Add the links to the answers that they start from; returns the same paths."""
    operations = {
        operation["operationId"]: operation
        for item in paths.values()
        for operation in item.values()
        if isinstance(operation, dict)
    }
    for name, status, parameter, value, targets in _LEADS:
        links = operations[name]["responses"][str(status)].setdefault("links", {})
        for target in targets:
            links[target] = {
                "operationId": target,
                "parameters": {parameter: value},
                "description": f"{value.rpartition('/')[2]} is its {parameter}.",
            }
    return paths
