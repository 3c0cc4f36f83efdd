"""``GET /v1/outputs/schema``: what a form of outputs is made from.

The schemas are those by which requests are checked, so a new field of a kind appears in
every form that is made from them.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from api.http import headers
from api.http import json_body as bodies
from api.http.services import Services
from api.jobs.schemas import OutputSchemaView
from common.jobs import presets
from common.outputs.specs import MODELS
from common.settings.load import Settings


def blueprint(services: Services) -> Blueprint:
    """Return the route."""
    routes = Blueprint("output_schema", __name__, url_prefix="/v1/outputs")
    settings = services.runtime.settings
    view = OutputSchemaView(
        kinds={kind: model.model_json_schema() for kind, model in MODELS.items()},
        presets={name: _preset(settings, name) for name in presets.names(settings)},
        outputs_per_job=settings.limits.outputs_per_job,
    )

    @routes.get("/schema")
    def schema() -> Response:
        headers.expect_no_query(request)
        services.enter("read")
        response = bodies.json_response(view)
        response.add_etag()
        response.headers["Cache-Control"] = "private, no-cache"
        response.make_conditional(request)
        return response

    return routes


def _preset(settings: Settings, name: str) -> list[dict[str, Any]]:
    """Return the outputs of a preset as a request would write them."""
    return [
        {"kind": spec.kind, **spec.model_dump(mode="json", exclude_defaults=True)}
        for spec in presets.outputs_of(settings, name, "/preset")
    ]
