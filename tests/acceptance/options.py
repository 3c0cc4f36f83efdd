"""Every option of every kind: what ``/v1/outputs/schema`` says can be asked.

Each enumerated value, each bound and each switch makes one cell. What a value needs
beside it, and what cannot be drawn from a schema (times, lists), stands here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_SKIPPED = frozenset({"kind", "name", "policy"})
# Small and short, so that hundreds of cells fit into minutes; the defaults have cells
# of their own, with every film.
_BASE: dict[str, dict[str, Any]] = {
    "thumbnail": {"width": 160, "time": 3.3},
    "animation": {"width": 160, "start": 2, "duration": 1.2},
    "preview": {"width": 160, "segments": 4},
    "storyboard": {"width": 96, "interval": 1},
    "contact_sheet": {"width": 480, "columns": 2, "rows": 2},
    "snippets": {"width": 128, "window": 4},
}
_BOX = {"width": 120, "height": 120}
_TIMES: list[Any] = [0, 2.5, "25%", "0:00:03.5", "1m"]
# Fields whose values are written here: a schema does not say what a time is.
_VALUES: dict[tuple[str, str], list[Any]] = {
    ("thumbnail", "time"): [*_TIMES, 10_000_000],
    ("thumbnail", "times"): [[1], [3, 1, "50%"], [n / 25 for n in range(100)]],
    ("thumbnail", "widths"): [[2], [7680], [96, 160, 320], [96, 5000, 6000]],
    ("contact_sheet", "widths"): [[320], [320, 480, 641]],
    ("animation", "start"): [*_TIMES, "auto", 10_000_000],
    ("animation", "end"): [3.0, "50%", 10_000_000],
    ("preview", "exclude_start"): [0, "40%", 2.5, 10_000_000],
    ("preview", "exclude_end"): [0, "40%", 2.5],
    ("contact_sheet", "exclude_start"): [0, "40%", 2.5, 10_000_000],
    ("contact_sheet", "exclude_end"): [0, "40%", 2.5],
}
_EVERY_VALUE: dict[str, list[Any]] = {
    "fallback": [["frame", "icon"], ["icon"], ["frame", "artwork", "waveform", "icon"]],
    "background": ["#3050c0"],
    "foreground": ["#ffff00"],
    "gravity": [
        *("center", "north", "north_east", "east", "south_east"),
        *("south", "south_west", "west", "north_west", "smart", [0, 0.5], [0.55, 1]),
    ],
    "crop": [["10%", "15%", "80%", "80%"], [30, 20, 9000, 9000]],
    "trickplay": [["bif"], ["dash"], ["bif", "jellyfin", "dash"]],
    "formats": [["webp"], ["avif", "webp", "png", "jpeg"]],
}
# What a field is asked with; None takes a member of the base away.
_BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("thumbnail", "width"): {},
    ("thumbnail", "widths"): {"width": None},
    ("thumbnail", "times"): {"time": None},
    ("thumbnail", "count"): {"time": None},
    ("thumbnail", "quality"): {"format": "jpeg"},
    ("thumbnail", "enlarge"): {"width": 700},
    ("animation", "end"): {"duration": None},
    ("animation", "duration"): {"start": 0, "fps": 5},
    ("animation", "enlarge"): {"width": 700},
    ("animation", "optimize"): {},
    ("preview", "enlarge"): {"width": 700},
    ("preview", "segments"): {"segment_duration": 0.2},
    ("preview", "segment_duration"): {"segments": 2},
    ("storyboard", "count"): {"interval": None},
    ("contact_sheet", "columns"): {"width": 2400, "rows": 1},
    ("contact_sheet", "rows"): {"columns": 1, "width": 320},
    ("contact_sheet", "background"): {},
    ("contact_sheet", "widths"): {"width": None},
}
_BESIDE_EVERY: dict[str, dict[str, Any]] = {
    "background": {**_BOX, "fit": "pad"},
    "fit": _BOX,
    # Three quarters of a film of 16:9, in which its number lies whatever is kept.
    "gravity": {"width": 160, "height": 120, "fit": "cover"},
    "height": {"width": None},
    "quality": {"format": "webp"},
}
# What a service may answer instead of a picture, by member and value.
_REFUSALS: dict[tuple[str, str, Any], set[str]] = {
    ("thumbnail", "time", 10_000_000): {"seek_past_end"},
    ("thumbnail", "time", "1m"): {"seek_past_end"},
    ("animation", "max_bytes", 1000): {"cannot_fit"},
    ("preview", "max_bytes", 1000): {"cannot_fit"},
    # An animation lasts at most 30 seconds, which is said at once.
    ("animation", "end", 10_000_000): {"invalid_request"},
}
_STANDS_IN = {"icon", "artwork", "waveform"}
POLICIES = ("exact", "keyframe", "auto", "scene")
_WAYS: dict[str, Any] = {
    "no time": {},
    "time": {"time": 3.3},
    "times": {"times": [1, 4.5, 8]},
    "count": {"count": 3},
}


@dataclass(frozen=True)
class Option:
    """One thing to ask for: the row's ``label``, and the output as it is sent.

    ``refusals`` are codes that are a right answer, too. ``blind`` says why its picture
    shows no number.
    """

    label: str
    spec: dict[str, Any]
    refusals: frozenset[str] = field(default_factory=frozenset)
    blind: str = ""


def defaults(kinds: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the value of each member of a kind where none is given."""
    members = kinds[kind]["properties"]
    return {name: member.get("default") for name, member in members.items()}


def options(kinds: dict[str, Any]) -> Iterator[Option]:
    """Yield every option that the schemas of the service's kinds have."""
    yield from _policies()
    for kind, schema in kinds.items():
        for name, member in schema["properties"].items():
            if name not in _SKIPPED:
                yield from _of_member(kind, name, member)


def _policies() -> Iterator[Option]:
    for policy in POLICIES:
        for way, times in _WAYS.items():
            # "auto" takes the best frame, "scene" needs a time to begin at.
            vague = policy in {"exact", "keyframe", "scene"} and way == "no time"
            yield Option(
                f"thumbnail policy={policy}, {way}",
                {"kind": "thumbnail", "width": 160, "policy": policy, **times},
                frozenset({"invalid_request"} if vague or policy == "scene" else ()),
            )


def _of_member(kind: str, name: str, member: dict[str, Any]) -> Iterator[Option]:
    base = {"kind": kind, **_BASE[kind]}
    base |= _BESIDE.get((kind, name), _BESIDE_EVERY.get(name, {}))
    given = {key: value for key, value in base.items() if value is not None}
    for value in _values(kind, name, member):
        spec = given | {name: value}
        stands_in = isinstance(value, list) and value and value[0] in _STANDS_IN
        refusals = _REFUSALS.get((kind, name, value if _is_plain(value) else None))
        yield Option(
            f"{kind} {name}={_short(value)}",
            spec,
            frozenset(refusals or ()),
            "a stand-in is shown, which has no number" if stands_in else "",
        )


def _values(kind: str, name: str, member: dict[str, Any]) -> list[Any]:
    written = _VALUES.get((kind, name)) or _EVERY_VALUE.get(name)
    if written is not None:
        return [["frame"]] if (kind, name) == ("snippets", "fallback") else written
    found: list[Any] = []
    for variant in member.get("anyOf", [member]):
        if "enum" in variant:
            found += variant["enum"]
        elif "const" in variant:
            found.append(variant["const"])
        elif variant.get("type") == "boolean":
            found.append(not member["default"])
        elif "minimum" in variant or "exclusiveMinimum" in variant:
            found += [variant.get("minimum", 0.5), variant["maximum"]]
    return found


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str)


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 4:
        return f"{len(value)} of them"
    return str(value).replace("'", "")
