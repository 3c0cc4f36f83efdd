"""Pydantic's complaints about settings in an operator's words.

A line names the variable, the place within its value where that is JSON or a list, what
is wrong there, and what would be right.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from common.outputs.specs import KINDS, OUTPUT_SPEC

Location = Sequence[int | str]

_SHOWN_CHARS = 80
# Values of these may be secrets, or contain them (a password in a URL, a key where its
# digest belongs).
_SECRET = re.compile(r"(secrets?|password|token|sha256|url|webhook)$|key")
# What a list contains, by the field that holds the list.
_ITEMS = {"rules": "rule", "presets": "output", "keys": "key"}
_WANTED = {
    "bool": ("true or false", "write true or false"),
    "int": ("a whole number", "write digits only, such as {example}"),
    "float": ("a number", "write it like {example}"),
    "string": ("a text", "put it in quotation marks"),
    "list": ("a list", "write a JSON list: [...]"),
    "dict": ("an object", "write a JSON object: {{...}}"),
    "model": ("an object", "write a JSON object: {{...}}"),
}
_TEMPLATES = {
    "missing": "{name} is missing",
    "extra_forbidden": "{name} is not a known field",
    "union_tag_not_found": "'kind' is missing; it is one of {kinds}",
    "union_tag_invalid": "kind {tag!r:.80} is not known; it is one of {kinds}",
    "value_error": "{error}",
    "literal_error": "{value} is not allowed; write {expected}",
    "string_pattern_mismatch": "{value} has the wrong form; it must match {pattern}",
    "greater_than_equal": "{value} is too small; write at least {ge}",
    "greater_than": "{value} is too small; write more than {gt}",
    "less_than_equal": "{value} is too large; write at most {le}",
    "less_than": "{value} is too large; write less than {lt}",
    "too_short": "{value} has too few items; write at least {min_length}",
    "too_long": "{value} has too many items; write at most {max_length}",
    "string_too_short": "{value} is too short; write at least {min_length} characters",
    "string_too_long": "{value} is too long; write at most {max_length} characters",
}


def describe(
    fault: Mapping[str, Any], where: Location, fields: Iterable[str], example: object
) -> str:
    """Return one line about a fault of a ValidationError, without the variable's name.

    ``where`` is its place within the variable's value, keys and indexes from 0.
    ``fields`` are the names allowed at that place, ``example`` is a good value.
    """
    kind, last = str(fault["type"]), str(where[-1])[:_SHOWN_CHARS] if where else ""
    context = fault.get("ctx", {})
    parts = where[:-1] if kind in {"missing", "extra_forbidden"} else where
    place = "".join(f"{one}: " for one in _place(parts, fault["loc"]))
    if template := _TEMPLATES.get(kind):
        text = template.format(
            name=repr(last), value=_shown(fault), kinds=", ".join(KINDS), **context
        )
        near = _near(last, fields) if kind == "extra_forbidden" else ""
        return f"{place}{text}{near}"
    if wanted := _WANTED.get(kind.partition("_")[0]):
        noun, advice = wanted
        advice = advice.format(example=example)
        return f"{place}{_shown(fault)} is not {noun}; {advice}"
    return f"{place}{_shown(fault)}: {fault['msg']}"


def locate(loc: Location, document: Any) -> list[int | str]:
    """Return the part of a fault's location that the document itself has.

    Pydantic also names the branches of unions there. The last part may be a key that
    the document lacks.
    """
    where: list[int | str] = []
    for number, part in enumerate(loc):
        last = number == len(loc) - 1
        if isinstance(document, dict) and (part in document or last):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int):
            document = document[part] if part < len(document) else None
        else:
            continue
        where.append(part)
    return where


def spec_fields(loc: Location) -> list[str]:
    """Return the fields of the kind of output that a fault's location names."""
    kind = next((one for one in loc if one in KINDS), None)
    definitions = OUTPUT_SPEC.json_schema()["$defs"].values()
    schemas = [schema["properties"] for schema in definitions]
    return next((list(one) for one in schemas if one["kind"]["const"] == kind), [])


def model_fields(model: type[BaseModel], loc: Location) -> list[str]:
    """Return the fields of the model, or of the one below it, that ``loc`` lies in."""
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        inner = [] if field is None else _models(field.annotation)
        model = inner[0] if inner else model
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [found for one in inner for found in _models(one)]


def _place(where: Location, loc: Location) -> list[str]:
    """Name each step in words, such as ``rule 1``, ``preset 'web'``, ``output 2``."""
    words = []
    for number, part in enumerate(where):
        if isinstance(part, int):
            holders = [str(one) for one in loc if one in _ITEMS]
            item = _ITEMS[holders[0]] if holders and number < 2 else "item"
            words.append(f"{item} {part + 1}")
        else:
            first_of_presets = number == 0 and loc[0] == "presets"
            words.append(f"preset {part!r}" if first_of_presets else part)
    return words


def _shown(fault: Mapping[str, Any]) -> str:
    """Return the value as it was given, unless it may be a secret."""
    value = fault.get("input")
    if any(_SECRET.search(str(part)) for part in fault["loc"]):
        return "the value"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "the list"
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _near(name: str, fields: Iterable[str]) -> str:
    known = list(fields)
    close = difflib.get_close_matches(name[:_SHOWN_CHARS], known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(known)}" if known else ""
