"""What a request asks for, checked beyond its schema: in a body, a form, an upload.

``base`` is the pointer of the object that holds the fields: ``""``, or ``/job``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from api.jobs.schemas import FormRequest
from common.errors import Invalid
from common.jobs.presets import outputs_of
from common.outputs.specs import OutputSpec
from common.settings.load import Settings


def check_metadata(document: Any, limit: int, base: str = "") -> None:
    """Raise Invalid for metadata of over ``limit`` bytes, as sent."""
    if not isinstance(document, dict) or "metadata" not in document:
        return
    text = json.dumps(document["metadata"], ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > limit:
        raise Invalid.one(
            f"{base}/metadata",
            f"metadata is over {limit} bytes of JSON",
            f"at most {limit} bytes (FRAMEMILL_LIMITS_METADATA_BYTES)",
        )


def chosen_outputs(
    settings: Settings, requested: FormRequest, base: str = ""
) -> Sequence[OutputSpec]:
    """Give the outputs that are asked for, or those of a preset; raises Invalid."""
    if requested.preset is None:
        return requested.outputs or ()
    if requested.outputs is not None:
        raise Invalid.one(
            f"{base}/preset", "both outputs and a preset are given", "give one of them"
        )
    return outputs_of(settings, requested.preset, f"{base}/preset")
