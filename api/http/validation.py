"""Pydantic's errors in a caller's words: where, what was wrong, what would be right.

Pydantic's ``loc`` also names union branches and discriminator tags. Walking the
document and the model's outline separates these from the keys that the caller wrote.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from api.http.outline import Place, outline
from common.errors import Fault, Invalid
from common.patterns import words_of

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
_UNION_FAULTS = {"union_tag_invalid", "union_tag_not_found"}
_HINTED = "hinted"
_CLOSE = 0.65  # "ulr" is close to "url", but "seconds" is not close to "end".
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
        raise Invalid(_explain(error, document, outline(adapter), base)) from error


def hinted(detail: str, hint: str) -> PydanticCustomError:
    """Return the error that a validator raises to name what would be right."""
    return PydanticCustomError(
        _HINTED, "{detail}; {hint}", {"detail": detail, "hint": hint}
    )


@contextmanager
def collected(faults: list[Fault]) -> Iterator[None]:
    """Add the faults of an Invalid that the block raises to ``faults``, and go on."""
    try:
        yield
    except Invalid as error:
        faults += error.faults


def _explain(
    error: ValidationError, document: Any, expected: Place, base: Location
) -> list[Fault]:
    """Return the faults of a ValidationError, one a field, in the document's order."""
    found: dict[str, Fault] = {}
    for item in error.errors(include_url=False, include_input=False):
        where, value, parent = _locate(item, document, expected)
        place = pointer([*base, *where])
        fault: Fault = {
            "pointer": place,
            "detail": _detail(item, value, where),
            "hint": _hint(item, where, parent),
        }
        if place in found:
            fault = _merge(found[place], fault)
        found[place] = fault
    return list(found.values())


def _locate(
    item: Any, document: Any, expected: Place
) -> tuple[list[int | str], Any, Place]:
    """Return where an error is, the value there, and what is expected around it."""
    where: list[int | str] = []
    value, parent = document, expected
    for part in item["loc"]:
        union = expected.union
        if union is not None and part in union.choices:
            expected = union.choices[part]
            continue
        if _holds(value, part):
            value = value[part]
        elif item["type"] == "missing":
            value = None
        else:
            continue
        where.append(part)
        parent, expected = expected, expected.inside(part)
    if item["type"] in _UNION_FAULTS and expected.union is not None:
        where.append(expected.union.tag)
        parent = expected
    return where, value, parent


def _holds(value: Any, part: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _detail(item: Any, value: Any, where: Location) -> str:
    kind: str = item["type"]
    name = _name(where)
    context: dict[str, Any] = item.get("ctx", {})
    if kind in _TYPES:
        return _wrong_type(kind, name, value)
    if kind == _HINTED:
        return str(context["detail"])
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_invalid":
        return f"{str(context.get('tag'))[:80]!r} is not a known {where[-1]}"
    if text := _PLAIN.get(kind):
        return f"{name} {text}"
    _, _, text = str(item["msg"]).partition(" ")  # "Input should be", "String should"
    text = text.replace(" after validation", "")  # "at least 1 item after validation"
    return f"{name} {text.replace('should', 'must', 1)}"


def _name(where: Location) -> str:
    if not where:
        return "the document"
    if len(where) > 1 and isinstance(where[-1], int):
        return f"item {where[-1]} of {str(where[-2])!r}"
    return repr(str(where[-1]))


def _wrong_type(kind: str, name: str, value: Any) -> str:
    got = _LABELS.get(type(value), "something else")
    if isinstance(value, str):
        got += f" ({value[:40]!r})"
    if kind in {"int_type", "float_type"} and type(value) in {int, float}:
        # A fraction where a whole number belongs, or more digits than a float has.
        problem = "a fraction" if isinstance(value, float) else "out of range"
        return f"{name} is {problem}, it must be {_TYPES[kind]}"
    return f"{name} must be {_TYPES[kind]}, not {got}"


def _hint(item: Any, where: Location, parent: Place) -> str | None:
    kind: str = item["type"]
    if kind in _UNION_FAULTS and parent.union is not None:
        return "one of " + ", ".join(parent.union.choices)
    if kind == "extra_forbidden":
        return _suggest(str(where[-1]), list(parent.fields))
    if kind == "literal_error":
        return f"one of {item['ctx']['expected']}"
    limits = item.get("ctx", {})
    if kind == _HINTED:
        return str(limits["hint"])
    if kind == "string_pattern_mismatch":
        return words_of(limits["pattern"])
    words = [f"{_BOUNDS[name]} {limits[name]}" for name in _BOUNDS if name in limits]
    return ", ".join(words) or None


_BOUNDS = {
    "ge": "at least",
    "gt": "more than",
    "le": "at most",
    "lt": "less than",
    "min_length": "length at least",
    "max_length": "length at most",
}


def _suggest(name: str, known: list[str]) -> str | None:
    if not known:
        return None
    close = difflib.get_close_matches(name[:64], known, n=1, cutoff=_CLOSE)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)


def _merge(first: Fault, second: Fault) -> Fault:
    # Two complaints about one place come from the branches of a union; the only
    # union that callers write is a time (a number or a text).
    if first["detail"] == second["detail"]:
        return first
    before, _, choices = (first["hint"] or "").partition("one of ")
    if choices and not before:  # "auto" or a time: the complaint about the time counts
        return {**second, "hint": f"{second['hint'] or _TIME_HINT}, or {choices}"}
    wrong = [" must be a " in fault["detail"] for fault in (first, second)]
    if all(wrong):
        name = first["detail"].split(" must be ")[0]
        _, either, choices = (first["hint"] or "").partition(", or ")
        hint = _TIME_HINT + either + choices
        return {**first, "detail": f"{name} is not a time", "hint": hint}
    if any(wrong):  # of another type than the branch that the value is meant for
        return second if wrong[0] else first
    return {**first, "detail": f"{first['detail']}; {second['detail']}"}
