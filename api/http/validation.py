"""Pydantic's errors in a caller's words: where, what was wrong, what would be right.

Pydantic's ``loc`` also names union branches and discriminator tags. Walking the
document itself separates these from the keys that the caller wrote.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from common.errors import Fault, Invalid
from common.outputs.specs import KINDS, OUTPUT_SPEC

Location = Sequence[int | str]
T = TypeVar("T")

_TIME_HINT = 'write seconds (12.5), "5m2s", "00:05:02.000" or "50%"'
_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_PLAIN = {
    "missing": "is missing",
    "union_tag_not_found": "is missing",
    "extra_forbidden": "is not a known field",
    "string_pattern_mismatch": "has a form that is not allowed",
}
_LABELS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def pointer(parts: Location) -> str:
    """Return a JSON pointer (RFC 6901); the whole document is ``""``."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts
    )


def validate(adapter: TypeAdapter[T], document: Any, base: Location = ()) -> T:
    """Check a parsed document and return its model; raises Invalid with every fault."""
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        raise Invalid(explain(error, document, base)) from error


@contextmanager
def collected(faults: list[Fault]) -> Iterator[None]:
    """Add the faults of an Invalid that the block raises to ``faults``, and go on."""
    try:
        yield
    except Invalid as error:
        faults += error.faults


def explain(error: ValidationError, document: Any, base: Location = ()) -> list[Fault]:
    """Return the faults of a ValidationError, one a field, in the document's order."""
    found: dict[str, Fault] = {}
    for item in error.errors(include_url=False, include_input=False):
        where, value = _locate(item["loc"], document)
        kind = item["type"]
        if kind in {"union_tag_invalid", "union_tag_not_found"}:
            where = [*where, "kind"]
        place = pointer([*base, *where])
        parent = _parent(where, document)
        fault: Fault = {
            "pointer": place,
            "detail": _detail(item, value, where),
            "hint": _hint(item, where, parent),
        }
        if place in found:
            fault = _merge(found[place], fault)
        found[place] = fault
    return list(found.values())


def _locate(loc: Location, document: Any) -> tuple[list[int | str], Any]:
    where: list[int | str] = []
    value: Any = document
    for number, part in enumerate(loc):
        after_output = where[-2:-1] == ["outputs"] and loc[number - 1] == where[-1]
        if after_output and part in KINDS:
            continue
        if _holds(value, part):
            value = value[part]
        elif isinstance(value, dict) and number == len(loc) - 1:
            value = None
        else:
            continue
        where.append(part)
    return where, value


def _holds(value: Any, part: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _parent(where: Location, document: Any) -> Any:
    value = document
    for part in where[:-1]:
        value = value[part]
    return value


def _detail(item: Any, value: Any, where: Location) -> str:
    kind: str = item["type"]
    name = repr(str(where[-1])) if where else "the document"
    context: dict[str, Any] = item.get("ctx", {})
    if kind in _TYPES:
        return _wrong_type(kind, name, value)
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_invalid":
        return f"{str(context.get('tag'))[:80]!r} is not a known kind"
    if text := _PLAIN.get(kind):
        return f"{name} {text}"
    _, _, text = str(item["msg"]).partition(" ")  # "Input should be", "String should"
    text = text.replace(" after validation", "")  # "at least 1 item after validation"
    return f"{name} {text.replace('should', 'must', 1)}"


def _wrong_type(kind: str, name: str, value: Any) -> str:
    got = _LABELS.get(type(value), "something else")
    if kind in {"int_type", "float_type"} and type(value) in {int, float}:
        # A fraction where a whole number belongs, or more digits than a float has.
        problem = "a fraction" if isinstance(value, float) else "out of range"
        return f"{name} is {problem}, it must be {_TYPES[kind]}"
    return f"{name} must be {_TYPES[kind]}, not {got}"


def _hint(item: Any, where: Location, parent: Any) -> str | None:
    kind: str = item["type"]
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return "one of " + ", ".join(KINDS)
    if kind == "extra_forbidden":
        return _suggest(str(where[-1]), _known_fields(where, parent))
    if kind == "literal_error":
        return f"one of {item['ctx']['expected']}"
    limits = item.get("ctx", {})
    words = [f"{_BOUNDS[name]} {limits[name]}" for name in _BOUNDS if name in limits]
    return ", ".join(words) or None


_BOUNDS = {
    "ge": "at least",
    "gt": "more than",
    "le": "at most",
    "lt": "less than",
    "min_length": "length at least",
    "max_length": "length at most",
    "pattern": "must match",
}


def _known_fields(where: Location, parent: Any) -> list[str]:
    if len(where) >= 3 and where[-3] == "outputs" and isinstance(parent, dict):
        return _spec_fields().get(str(parent.get("kind")), [])
    return [] if len(where) > 1 else ["source", "outputs", "metadata"]


def _spec_fields() -> dict[str, list[str]]:
    definitions = OUTPUT_SPEC.json_schema()["$defs"]
    return {
        schema["properties"]["kind"]["const"]: list(schema["properties"])
        for schema in definitions.values()
    }


def _suggest(name: str, known: list[str]) -> str | None:
    if not known:
        return None
    close = difflib.get_close_matches(name[:64], known, n=1)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)


def _merge(first: Fault, second: Fault) -> Fault:
    # Two complaints about one place come from the branches of a union; the only
    # union that callers write is a time (a number or a text).
    if first["detail"] == second["detail"]:
        return first
    if all(" must be a " in fault["detail"] for fault in (first, second)):
        name = first["detail"].split(" must be ")[0]
        return {**first, "detail": f"{name} is not a time", "hint": _TIME_HINT}
    return {**first, "detail": f"{first['detail']}; {second['detail']}"}
