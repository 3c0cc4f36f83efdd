"""The named schemas of the OpenAPI document: what requests may hold, what answers hold.

Programs that generate clients read a schema by its keywords alone, not by where it is
used. So what a request may leave out is in no list of required fields and has no
``default``: some programs would demand such a field, and others would send the default
with every request. The description names it instead; ``GET /v1/outputs/schema`` has
each default as a value. An answer has all its fields, and all are required.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.batches.schemas import BatchListView, BatchRequest, BatchView
from api.jobs.schemas import (
    EventView,
    FileRequest,
    JobListView,
    JobRequest,
    JobView,
    OutputSchemaView,
    ProblemView,
)
from api.openapi import examples
from api.operators.schemas import OperationsView, RedrivenView
from api.render.schemas import RenderingView, SigningKeyView
from api.s3_events.schemas import NotifiedView
from api.sessions.schemas import SessionView, SignInForm, SignInRequest
from api.shares.schemas import SharedJobView, ShareRequest, ShareView
from api.uploads.schemas import CompleteRequest, UploadRequest, UploadView
from api.webhooks.schemas import (
    DeliveryListView,
    DeliveryView,
    NewWebhookView,
    WebhookListView,
)

_REF = "#/components/schemas/{model}"
_REQUESTS: tuple[type[BaseModel], ...] = (
    JobRequest,
    FileRequest,
    BatchRequest,
    UploadRequest,
    CompleteRequest,
    ShareRequest,
    SignInRequest,
    SignInForm,
)
_ANSWERS: tuple[type[BaseModel], ...] = (
    JobView,
    JobListView,
    EventView,
    OutputSchemaView,
    BatchView,
    BatchListView,
    DeliveryView,
    DeliveryListView,
    UploadView,
    SessionView,
    ShareView,
    SharedJobView,
    WebhookListView,
    NewWebhookView,
    SigningKeyView,
    RenderingView,
    NotifiedView,
    OperationsView,
    RedrivenView,
    ProblemView,
)


def schemas() -> dict[str, Any]:
    """Return the schemas of all requests and answers, by their names."""
    requests = _of(_REQUESTS, "validation")
    for schema in requests.values():
        for field in schema.get("properties", {}).values():
            _tell_default(field)
    return examples.add(requests | _of(_ANSWERS, "serialization"))


def _of(models: tuple[type[BaseModel], ...], mode: Any) -> dict[str, Any]:
    _, schema = models_json_schema([(one, mode) for one in models], ref_template=_REF)
    found: dict[str, Any] = schema["$defs"]
    return found


def _tell_default(field: dict[str, Any]) -> None:
    """Move a default into the description, where that does not explain it already."""
    value = field.pop("default", None)
    told = field.get("description", "")
    if value in (None, "", [], {}) or "default: " in told.lower():
        return
    field["description"] = f"{told} Default: {json.dumps(value)}.".lstrip()
