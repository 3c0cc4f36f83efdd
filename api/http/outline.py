"""What a model expects at a place of a document, read from its JSON schema.

The schema knows what pydantic's errors leave out: the fields that a place may have,
and the field by which a union is told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Union:
    """A union of objects: the field ``tag`` chooses one of ``choices`` (references)."""

    tag: str
    choices: dict[str, str]


@dataclass(frozen=True)
class Place:
    """One place of a document; ``schemas`` are the alternatives that it may hold."""

    _definitions: dict[str, Any]
    _schemas: tuple[dict[str, Any], ...] = ()

    @property
    def union(self) -> Union | None:
        """The union of objects that this place may hold."""
        for schema in self._schemas:
            if chosen := schema.get("discriminator"):
                tags = {ref: tag for tag, ref in chosen["mapping"].items()}
                order = [one["$ref"] for one in schema["oneOf"]]
                return Union(chosen["propertyName"], {tags[ref]: ref for ref in order})
        return None

    @property
    def fields(self) -> list[str]:
        """The names of the fields that an object here may have."""
        return [
            name for schema in self._schemas for name in schema.get("properties", {})
        ]

    def choose(self, tag: str) -> Place:
        """Return this place, held to the union's choice of that tag."""
        union = self.union
        if union is None or tag not in union.choices:
            return Place(self._definitions)
        return self._of({"$ref": union.choices[tag]})

    def inside(self, part: int | str) -> Place:
        """Return the place of a field, or of an item of the list; empty if unknown."""
        found = [
            inner
            for schema in self._schemas
            if (inner := _inside(schema, part)) is not None
        ]
        return self._of({"anyOf": found})

    def _of(self, schema: dict[str, Any]) -> Place:
        return Place(self._definitions, tuple(_flat(schema, self._definitions)))


@cache
def outline(adapter: TypeAdapter[Any]) -> Place:
    """Return the place of the whole document that an adapter validates."""
    schema = adapter.json_schema()
    definitions = schema.get("$defs", {})
    return Place(definitions, tuple(_flat(schema, definitions)))


def _inside(schema: dict[str, Any], part: int | str) -> dict[str, Any] | None:
    found = (
        schema.get("items")
        if isinstance(part, int)
        else schema.get("properties", {}).get(part)
    )
    return found if isinstance(found, dict) else None


def _flat(schema: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the alternatives of a schema, with every reference followed."""
    if reference := schema.get("$ref"):
        return _flat(definitions[reference.rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return [one for each in schema["anyOf"] for one in _flat(each, definitions)]
    return [schema]
