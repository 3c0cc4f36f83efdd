"""The OpenAPI 3.1 document, made from the models that validate and present.

``python -m api.cli openapi > docs/openapi.json`` writes the committed copy; a test
compares it with what is served.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from api.batches import operations as batches
from api.batches.schemas import BatchListView, BatchRequest, BatchView
from api.files import operations as files
from api.http.headers import MAX_WAIT_SECONDS
from api.http.problems import PROBLEM
from api.jobs.schemas import FormRequest, JobListView, JobRequest, JobView, ProblemView
from api.openapi import examples, links
from api.uploads import operations as uploads
from api.uploads.schemas import CompleteRequest, UploadRequest, UploadView
from api.webhooks import operations as deliveries
from api.webhooks.schemas import (
    DeliveryListView,
    DeliveryView,
    NewWebhookView,
    WebhookListView,
)

VERSION = "0.1.0"
_REF = "#/components/schemas/{model}"
_JSON = "application/json"
_EXAMPLE_ID = "0123456789abcdef0123456789abcdef"
_PROBLEMS = {
    400: "The body or a header cannot be parsed.",
    401: "No valid API key.",
    403: "Not allowed for this API key.",
    404: "Unknown or expired, or another key's.",
    405: "The address does not take this method.",
    408: "The request came too slowly.",
    409: "Not possible in this state.",
    413: "The body is over the size limit.",
    415: "The body's type is not taken here.",
    422: "Well-formed but not valid; every fault is listed.",
    423: "Not taken up now: a part is away, or a limit is used up. Try again.",
    429: "A rate limit or quota is used up.",
    500: "A defect of ours.",
    503: "A part of the service is away; try again.",
}
_FIELDS = tuple(FormRequest.model_fields)
_ON_ALL = ("X-Request-Id", "RateLimit", "RateLimit-Policy")
_TAGS = ("jobs", "batches", "uploads", "files", "notices", "operation")
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}
_ALWAYS = (400, 401, 403, 405, 408, 422, 429, 500, 503)


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _schema(name: str) -> dict[str, str]:
    return _ref("schemas", name)


def _problems(*extra: int) -> dict[str, Any]:
    return {
        str(status): _ref("responses", f"Problem{status}")
        for status in sorted({*_ALWAYS, *extra})
    }


def _answer(text: str, schema: str, *headers: str) -> dict[str, Any]:
    return {
        "description": text,
        "headers": {name: _ref("headers", name) for name in _ON_ALL + headers},
        "content": {_JSON: {"schema": _schema(schema)}},
    }


def _job_answers(*statuses: int) -> dict[str, Any]:
    texts = {
        200: "The job, ended within the wait.",
        202: "The job, accepted or under way.",
    }
    extra = ("Location", "Retry-After", "Preference-Applied")
    return {str(one): _answer(texts[one], "JobView", *extra) for one in statuses}


def _parameters(*names: str) -> list[dict[str, str]]:
    return [_ref("parameters", name) for name in names]


def _create() -> dict[str, Any]:
    form = {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": {
                "type": "string",
                "contentMediaType": "application/octet-stream",
                "description": "The video.",
            },
            **{
                name: {"$ref": f"#/components/schemas/FormRequest/properties/{name}"}
                for name in _FIELDS
            },
        },
    }
    return {
        "operationId": "createJob",
        "tags": ["jobs"],
        "summary": "Submit a video",
        "description": "A file as multipart/form-data, or a source that the service "
        "reaches as JSON. Without outputs: a thumbnail and an animated GIF.",
        "parameters": _parameters("Prefer", "IdempotencyKey"),
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": _schema("JobRequest"), "examples": examples.JOBS},
                "multipart/form-data": {
                    "schema": form,
                    "encoding": {name: {"contentType": _JSON} for name in _FIELDS},
                },
            },
        },
        # 409: an upload that is not complete; 404: deleted while it was waited for.
        "responses": _job_answers(200, 202) | _problems(404, 409, 413, 415),
    }


def _list() -> dict[str, Any]:
    return {
        "operationId": "listJobs",
        "tags": ["jobs"],
        "summary": "List jobs, newest first",
        "parameters": _parameters("Status", "OfBatch", "Limit", "Cursor"),
        "responses": {"200": _answer("One page.", "JobListView")} | _problems(404),
    }


def _show() -> dict[str, Any]:
    shown = _answer("The job.", "JobView", "ETag", "Retry-After", "Preference-Applied")
    same = {"description": "The job is as If-None-Match says."}
    return {
        "operationId": "getJob",
        "tags": ["jobs"],
        "summary": "Show a job",
        "parameters": _parameters("Prefer", "IfNoneMatch"),
        "responses": {"200": shown, "304": same} | _job_answers(202) | _problems(404),
    }


def _verb(name: str, summary: str) -> dict[str, Any]:
    return {
        "operationId": f"{name}Job",
        "tags": ["jobs"],
        "summary": summary,
        "parameters": _parameters("Prefer"),
        "responses": _job_answers(200, 202) | _problems(404, 409),
    }


def _delete() -> dict[str, Any]:
    return {
        "operationId": "deleteJob",
        "tags": ["jobs"],
        "summary": "Cancel a job and remove it with its files",
        "responses": {"204": {"description": "It is gone."}} | _problems(404),
    }


def _paths() -> dict[str, Any]:
    paths = _own_paths()
    for path, operations in paths.items():
        # An S3 notification names its object's version: that is its key.
        if "post" in operations and path not in {"/v1/jobs", "/v1/events/s3"}:
            post = operations["post"]
            key = _parameters("IdempotencyKey")
            post["parameters"] = [*post.get("parameters", []), *key]
            post["responses"] |= _problems(409)
    return paths


def _own_paths() -> dict[str, Any]:
    one = _parameters("JobId")
    return {
        "/v1/jobs": {"post": _create(), "get": _list()},
        "/v1/jobs/{job_id}": {"parameters": one, "get": _show(), "delete": _delete()},
        "/v1/jobs/{job_id}/cancel": {
            "parameters": one,
            "post": _verb("cancel", "End what has not ended"),
        },
        "/v1/jobs/{job_id}/retry": {
            "parameters": one,
            "post": _verb("retry", "Run failed and cancelled outputs again"),
        },
        **batches.paths(_ALWAYS),
        **deliveries.paths(_ALWAYS),
        **uploads.paths(_ALWAYS),
        **files.paths(_ALWAYS),
        "/healthz": {"get": _plain("health", "Whether the process answers", _JSON)},
        "/readyz": {"get": _plain("ready", "Whether store and storage answer", _JSON)},
        "/metrics": {"get": _plain("metrics", "Prometheus metrics", "text/plain")},
    }


def _plain(name: str, summary: str, kind: str) -> dict[str, Any]:
    schema = {"type": "object"} if kind == _JSON else {"type": "string"}
    operation: dict[str, Any] = {
        "operationId": name,
        "tags": ["operation"],
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {kind: {"schema": schema}}}
        }
        | _problems(),
    }
    if name != "metrics":
        operation["security"] = []
    return operation


def _parameter(
    name: str, place: str, schema: dict[str, Any], text: str, *, required: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": required,
        "schema": schema,
        "description": text,
    }


def _all_parameters(statuses: list[str]) -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "JobId": _parameter(
            "job_id",
            "path",
            {"type": "string", "pattern": "^[0-9a-f]{32}$", "examples": [_EXAMPLE_ID]},
            "The job's id.",
            required=True,
        ),
        "Prefer": _parameter(
            "Prefer",
            "header",
            text | {"examples": ["wait=30"]},
            f"wait=N holds the answer until the job ends, at most N (at most "
            f"{MAX_WAIT_SECONDS}) seconds.",
        ),
        "IdempotencyKey": _parameter(
            "Idempotency-Key",
            "header",
            text
            | {"minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
            "The same key with the same request gives the same answer; with another "
            "request 422, while the first is under way 409.",
        ),
        "IfNoneMatch": _parameter(
            "If-None-Match", "header", text, "An ETag of this job as it was seen."
        ),
        "Status": _parameter(
            "status", "query", text | {"enum": statuses}, "Only jobs in this state."
        ),
        "Limit": _parameter(
            "limit",
            "query",
            {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
            "Jobs on a page.",
        ),
        **batches.parameters(),
        **deliveries.parameters(),
        **uploads.parameters(),
        "Cursor": _parameter(
            "cursor", "query", text, "What an earlier page gave as next."
        ),
    }


def _all_headers() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    number = {"schema": {"type": "integer", "minimum": 0}}
    return {
        "X-Request-Id": {"description": "The request's id, as in the log."} | text,
        "Location": {"description": "The job's address."} | text,
        "Retry-After": {"description": "Seconds until it is worth asking."} | number,
        "Preference-Applied": {"description": "wait=N, where it was kept."} | text,
        "ETag": {"description": "Strong; of this very document."} | text,
        "RateLimit": {"description": "What the key's limits have left."} | text,
        "RateLimit-Policy": {"description": "The key's limits."} | text,
        "Allow": {"description": "The methods of this address."} | text,
    }


def _problem(status: int, text: str) -> dict[str, Any]:
    extra = {
        405: ["Allow"],
        423: ["Retry-After", "RateLimit", "RateLimit-Policy"],
        429: ["Retry-After", "RateLimit", "RateLimit-Policy"],
        503: ["Retry-After"],
    }
    names = ["X-Request-Id", *extra.get(status, [])]
    return {
        "description": text,
        "headers": {name: _ref("headers", name) for name in names},
        "content": {
            PROBLEM: {
                "schema": _schema("ProblemView"),
                "example": examples.problem(status),
            }
        },
    }


@cache
def document() -> dict[str, Any]:
    """Make the whole document."""
    _, schemas = models_json_schema(
        [
            (JobRequest, "validation"),
            (FormRequest, "validation"),
            (JobView, "serialization"),
            (JobListView, "serialization"),
            (BatchRequest, "validation"),
            (BatchView, "serialization"),
            (BatchListView, "serialization"),
            (DeliveryView, "serialization"),
            (DeliveryListView, "serialization"),
            (UploadRequest, "validation"),
            (CompleteRequest, "validation"),
            (UploadView, "serialization"),
            (WebhookListView, "serialization"),
            (NewWebhookView, "serialization"),
            (ProblemView, "serialization"),
        ],
        ref_template=_REF,
    )
    definitions = schemas["$defs"]
    statuses = definitions["JobView"]["properties"]["status"]["enum"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Framemill",
            "version": VERSION,
            "summary": "Turns videos into thumbnails, GIFs, previews and storyboards.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in _SECURITY],
        "tags": [{"name": name} for name in _TAGS],
        "paths": links.add(_paths()),
        "components": {
            "schemas": examples.add(definitions),
            "parameters": _all_parameters(statuses),
            "headers": _all_headers(),
            "responses": {
                f"Problem{status}": _problem(status, text)
                for status, text in _PROBLEMS.items()
            },
            "securitySchemes": _SECURITY,
        },
    }


def text() -> str:
    """Write the document as it is committed and served."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"
