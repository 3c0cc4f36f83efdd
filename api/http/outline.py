"""What a model expects at a place of a document, read from its JSON schema.

The schema knows what pydantic's errors leave out: the fields that a place may have,
and the field by which a union is told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from pydantic import TypeAdapter

Schema = dict[str, Any]


@dataclass(frozen=True)
class Union:
    """A union of objects: the value of the field ``tag`` is a key of ``choices``."""

    tag: str
    choices: dict[str, Place]


@dataclass(frozen=True)
class Place:
    """One place of a document; ``schemas`` are the alternatives that it may hold.

    A place works out once what is inside it: one body may have thousands of faults.
    """

    _definitions: dict[str, Schema]
    _schemas: tuple[Schema, ...] = ()

    @cached_property
    def union(self) -> Union | None:
        """The union of objects that this place may hold."""
        for schema in self._schemas:
            if chosen := schema.get("discriminator"):
                tags = {ref: tag for tag, ref in chosen["mapping"].items()}
                places = {tags[one["$ref"]]: self._of([one]) for one in schema["oneOf"]}
                return Union(chosen["propertyName"], places)
        return None

    @cached_property
    def fields(self) -> dict[str, Place]:
        """The fields that an object here may have, each by its name."""
        found: dict[str, list[Schema]] = {}
        for schema in self._schemas:
            for name, inner in schema.get("properties", {}).items():
                found.setdefault(name, []).append(inner)
        return {name: self._of(inner) for name, inner in found.items()}

    @cached_property
    def _items(self) -> Place:
        return self._of([one["items"] for one in self._schemas if "items" in one])

    @cached_property
    def _unknown(self) -> Place:
        return self._of([])

    def inside(self, part: int | str) -> Place:
        """Return the place of a field, or of an item of the list; empty if unknown."""
        if isinstance(part, int):
            return self._items
        return self.fields.get(part, self._unknown)

    def _of(self, schemas: list[Schema]) -> Place:
        return Place(
            self._definitions, tuple(_flat({"anyOf": schemas}, self._definitions))
        )


@cache
def outline(adapter: TypeAdapter[Any]) -> Place:
    """Return the place of the whole document that an adapter validates."""
    schema = adapter.json_schema()
    definitions = schema.get("$defs", {})
    return Place(definitions, tuple(_flat(schema, definitions)))


def _flat(schema: Schema, definitions: dict[str, Schema]) -> list[Schema]:
    """Return the alternatives of a schema, with every reference followed."""
    if reference := schema.get("$ref"):
        return _flat(definitions[reference.rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return [one for each in schema["anyOf"] for one in _flat(each, definitions)]
    return [schema]
