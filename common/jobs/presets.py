"""Named bundles of outputs: the shipped ones, and those of FRAMEMILL_PRESETS.

A preset of the settings replaces a shipped one of the same name.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from common.errors import Invalid
from common.outputs.specs import OutputSpec, natural_pair
from common.settings.load import Settings

SHIPPED: dict[str, list[dict[str, Any]]] = {
    "default": [spec.model_dump(mode="json") for spec in natural_pair()],
    "web": [
        {"kind": "thumbnail", "name": "poster", "width": 1280},
        {"kind": "thumbnail", "width": 480, "format": "webp"},
        {"kind": "preview", "format": "webp", "width": 400, "fps": 12},
    ],
    "social": [
        {
            "kind": "thumbnail",
            "name": "card",
            "width": 1200,
            "height": 630,
            "fit": "cover",
        },
        {"kind": "animation", "width": 480, "fps": 12, "max_bytes": 5_000_000},
    ],
    "scrubber": [
        {"kind": "thumbnail", "name": "poster"},
        {"kind": "storyboard", "interval": 5},
    ],
    "archive": [
        {"kind": "contact_sheet"},
        {"kind": "thumbnail", "count": 5, "format": "png", "width": 1920},
    ],
}

SPECS: TypeAdapter[list[OutputSpec]] = TypeAdapter(list[OutputSpec])


def names(settings: Settings) -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(SHIPPED.keys() | settings.presets.keys())


def outputs_of(settings: Settings, name: str, pointer: str) -> list[OutputSpec]:
    """Return a preset's outputs; raises Invalid at ``pointer`` for an unknown one."""
    if name in settings.presets:
        return settings.presets[name]
    if name not in SHIPPED:
        raise Invalid.one(
            pointer,
            f"there is no preset {name!r}",
            "use one of " + ", ".join(names(settings)),
        )
    return SPECS.validate_python(SHIPPED[name])
