"""Write docs/reference from the models: ``python -m tests.house.reference``.

The tables are generated so that no setting, parameter, error code or warning can
go undocumented; ``test_reference.py`` fails when the files are not what this writes.
"""

from __future__ import annotations

import json
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from common import errors
from common.jobs import presets
from common.outputs import specs
from common.settings.load import Settings
from common.telemetry.metrics import Metric
from worker.media.recipes.contact_sheet import layout
from worker.media.recipes.shared import cost, grid, moving, variants
from worker.media.warning_codes import WARNINGS

# Pictures of ``tests/docs/pictures.py``, by kind: file and what is to be seen.
_PICTURES = {
    "thumbnail": (
        ("thumbnail.jpg", "the frame of the sample that policy auto chooses"),
        (
            "widths.jpg",
            'three sizes of one decode, `"widths": [160, 320, 640]`, side by side',
        ),
        (
            "gravity.jpg",
            'a square by `"fit": "cover"`, with `"gravity"` `west`, `center`, `east`',
        ),
        (
            "smart.jpg",
            'a frame, its crop to 9:16 at the `center`, and by `"gravity": "smart"`',
        ),
        ("artwork.jpg", 'embedded artwork, `"fallback": ["artwork"]`'),
        (
            "waveform.png",
            'the sound of a file without video, `"fallback": ["waveform"]`',
        ),
        ("icon.png", 'an icon, shown if there is nothing else, `"fallback": ["icon"]`'),
    ),
    "animation": (("animation.gif", "two seconds, forward and backward"),),
    "preview": (("preview.webp", "six segments of the whole sample"),),
    "storyboard": (
        ("storyboard.jpg", "a tile for every half second"),
        (
            "trickplay.jpg",
            'a full grid for players, `"trickplay": ["dash"]`, unused cells black',
        ),
    ),
    "contact_sheet": (("contact-sheet.jpg", "the default sheet"),),
    "snippets": (("snippet.webp", "the first window, of five seconds"),),
}
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"
WIDTH = 120
_WRAP: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
_KINDS = (
    specs.ThumbnailSpec,
    specs.AnimationSpec,
    specs.PreviewSpec,
    specs.StoryboardSpec,
    specs.ContactSheetSpec,
    specs.SnippetsSpec,
)


def settings_page() -> str:
    """Return the page of all settings."""
    lines = [
        "# Settings",
        "",
        (
            "Every setting is an environment variable. Each part of the service checks "
            "all of them when it starts, and reports every fault at once. An unknown "
            "`FRAMEMILL_*` name is a fault. Lists are comma-separated. If the broker's "
            "or the store's URL is not set, `REDIS_URL` is used. If one server holds "
            "both, a `FLUSHALL` of the broker deletes the jobs too."
        ),
        "",
        "`FRAMEMILL_FFMPEG`: the path of FFmpeg; default: that of imageio-ffmpeg.",
        "",
        (
            "`FRAMEMILL_PRESETS`: named bundles of outputs, as JSON, such as "
            '`{"cover": [{"kind": "thumbnail", "width": 1200}]}`. They are added to '
            "the [shipped ones](outputs.md#presets)."
        ),
    ]
    for name, info in Settings.model_fields.items():
        section = info.annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            continue
        lines += ["", f"## {name}", "", _summary(section), ""]
        lines += ["| variable | default | meaning and bounds |", "|---|---|---|"]
        for field, detail in section.model_fields.items():
            variable = f"FRAMEMILL_{name.upper()}_{field.upper()}"
            lines.append(
                f"| `{variable}` | {_default(detail)} | {_meaning(section, field)} |"
            )
    return "\n".join(lines) + "\n"


def outputs_page() -> str:
    """Return the page of all output kinds and their parameters."""
    lines = [
        "# Outputs and their parameters",
        "",
        (
            "The tables list the fields of one entry of `outputs`. Unknown fields are "
            'refused. Write a time as seconds (`12.5`), as `"5m2s"`, as '
            '`"HH:MM:SS.mmm"`, or as a share of the duration (`"50%"`).'
        ),
    ]
    for kind in _KINDS:
        name = kind.model_fields["kind"].annotation.__args__[0]
        lines += ["", f"## `{name}`", "", _summary(kind), ""]
        lines += ["| field | default | meaning and bounds |", "|---|---|---|"]
        for field, detail in kind.model_fields.items():
            if field != "kind":
                lines.append(
                    f"| `{field}` | {_default(detail)} | {_meaning(kind, field)} |"
                )
        for file, text in _PICTURES[name]:
            lines += ["", f"![{text}](../pictures/{file})", "", f"*{file}: {text}*"]
    lines += [
        *_bounds_of_cost(),
        *_presets(),
        "",
        "How the pictures were made: [pictures](../pictures/README.md).",
    ]
    return "\n".join(lines) + "\n"


def _bounds_of_cost() -> Iterator[str]:
    """List what follows from what encoding costs, beside the bounds of the fields."""
    yield from ("", "## Bounds that follow from cost", "")
    yield (
        "Each field has bounds of its own. An output within them may still take over "
        f"{cost.MOST_SECONDS / 60:g} minutes of one core, or more memory or disk than "
        "a task is allowed. Then the service reduces the output, and a warning says "
        "what it reduced. The figures are for coloured noise, which costs more than "
        "any real film."
    )
    yield from ("", "| what | bound | beyond the bound |", "|---|---|---|")
    for kind in typing.get_args(specs.AnimationFormat):
        yield (
            f"| all frames of an animation, a preview or one snippet as {kind} | "
            f"{_mega(cost.most_pixels(kind))} | a lower frame rate, `fps_reduced` |"
        )
    yield from (f"| {what} | {bound} | {then} |" for what, bound, then in _bounded())
    yield ""
    yield (
        "The largest thumbnail as avif takes about 900 MiB and up to two minutes of a "
        "core. A run ends as `timeout` when FFmpeg reports nothing for "
        "`FRAMEMILL_ENGINE_STALL_SECONDS`, or after `FRAMEMILL_ENGINE_CAP_SECONDS` in "
        "all. Both limits grow by `FRAMEMILL_ENGINE_CAP_RATIO` seconds for each second "
        "that the work may cost. A run that needs more memory than it is allowed ends "
        "as `resource_limit`."
    )


def _mega(pixels: float) -> str:
    return f"{pixels / 1_000_000:,.0f} megapixels"


def _bounded() -> Iterator[tuple[str, str, str]]:
    """Return what has which bound, and what happens over it."""
    slower = "a lower frame rate, `fps_reduced`"
    smaller = "smaller frames, `tiles_reduced`"
    yield "frames under `max_bytes` or of a preview", _mega(cost.STORED_PIXELS), slower
    yield "a boomerang's frames, one way", _mega(moving.REVERSE_BYTES / 4), slower
    yield "a contact sheet as avif", _mega(layout.AVIF_PIXELS), smaller
    yield "any contact sheet", f"{layout.MAX_SIDE:,} pixels high", smaller
    yield (
        "a sheet of a storyboard",
        f"{_mega(grid.MAX_PIXELS)}, {grid.MAX_SIDE:,} pixels a side",
        "fewer rows on more sheets, `rows_reduced`",
    )
    most = _mega(variants.MOST_PIXELS)
    yield "a still with `widths` or `formats`, all files", most, "`resource_limit`"
    side = specs.MAX_SIDE
    yield (
        "a thumbnail, avif too",
        f"{side:,} pixels a side, {_mega(side**2)}",
        "refused with `invalid_request`, which names the field and its bound",
    )


def _presets() -> Iterator[str]:
    """List what the shipped presets make."""
    yield from ("", "## Presets", "")
    yield (
        'A job can name a bundle instead of its outputs: `"preset": "web"`, or '
        "`-F preset=web` in a form. `FRAMEMILL_PRESETS` (JSON) adds presets and "
        "replaces shipped ones of the same name."
    )
    yield from ("", "| preset | outputs |", "|---|---|")
    for name, outputs in presets.SHIPPED.items():
        made = "<br>".join(f"`{json.dumps(_given(output))}`" for output in outputs)
        yield f"| `{name}` | {made} |"


def _given(output: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is the default."""
    spec = specs.OUTPUT_SPEC.validate_python(output)
    return {"kind": spec.kind} | spec.model_dump(mode="json", exclude_defaults=True)


def errors_page() -> str:
    """Return the page of all error codes."""
    lines = [
        "# Error codes",
        "",
        (
            "An error has a stable code that a program can look for. An error that "
            "answers a request is `application/problem+json` with the HTTP status "
            "below. An error that ends a job or an output is in its `error` in the job "
            "document."
        ),
        "",
        "| code | HTTP | title | when | try again |",
        "|---|---|---|---|---|",
    ]
    for code, kind in sorted(errors.catalogue().items()):
        when = _summary(kind)
        again = "yes" if kind.retryable else "no"
        lines.append(f"| `{code}` | {kind.status} | {kind.title} | {when} | {again} |")
    return "\n".join(lines) + "\n"


def warnings_page() -> str:
    """Return the page of all warnings."""
    head = Path(__file__).with_name("warnings_head.md").read_text(encoding="utf-8")
    lines = [*head.splitlines(), "", "| code | meaning |", "|---|---|"]
    lines += [f"| `{code}` | {text} |" for code, text in sorted(WARNINGS.items())]
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Return the page of all metrics."""
    head = Path(__file__).with_name("metrics_head.md").read_text(encoding="utf-8")
    lines = [*head.splitlines(), ""]
    lines += ["| metric | type | from | meaning | labels |", "|---|---|---|---|---|"]
    for metric in Metric.declared:
        name = metric.name + ("_total" if metric.kind == "counter" else "")
        labels = "; ".join(f"`{one}`: {text}" for one, text in metric.labels.items())
        lines.append(
            f"| `{name}` | {metric.kind} | {', '.join(metric.parts)} | {metric.text} | "
            f"{labels} |"
        )
    return "\n".join(lines) + "\n"


PAGES = {
    "metrics.md": metrics_page,
    "settings.md": settings_page,
    "outputs.md": outputs_page,
    "errors.md": errors_page,
    "warnings.md": warnings_page,
}


def page(name: str) -> str:
    """Return one page, with its paragraphs wrapped; tables stay one line a row."""
    lines: list[str] = []
    for line in PAGES[name]().splitlines():
        is_prose = line[:1] not in {"|", "#", "!", "*", "{", " "}
        lines += textwrap.wrap(line, WIDTH, **_WRAP) if is_prose and line else [line]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        (FOLDER / name).write_text(page(name), encoding="utf-8")


def _summary(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    return "unset" if value in (None, "") else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, str | Path):
        return str(value)
    return json.dumps(value)


def _meaning(model: type[BaseModel], field: str) -> str:
    schema = model.model_json_schema()["properties"][field]
    text = schema.get("description", "")
    return " ".join(part for part in (text, "; ".join(_bounds(schema))) if part)


def _bounds(schema: dict[str, Any]) -> Iterator[str]:
    for option in [schema, *schema.get("anyOf", [])]:
        if "enum" in option:
            yield " ".join(f"`{value}`" for value in option["enum"])
        if "minimum" in option:
            yield f"at least {_number(option['minimum'])}"
        if "exclusiveMinimum" in option:
            yield f"over {_number(option['exclusiveMinimum'])}"
        if "maximum" in option:
            yield f"at most {_number(option['maximum'])}"
        if "items" in option:
            yield from _bounds(option["items"])


def _number(value: float) -> str:
    """Write a bound in full: 10000000 and not 1e+07."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    main()
