"""The numbers in an output's pictures beside the times that it states."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from tests.acceptance import marks
from tests.acceptance.films import catalogue, make
from tests.acceptance.service import Service, artifact, output_of

TILE = 192
STILLS = {"kind": "thumbnail", "format": "png", "policy": "exact"}
AUTO = {"kind": "thumbnail", "name": "auto", "format": "png", "policy": "auto"}
BOARD = {"kind": "storyboard", "width": TILE}
BARE = {"timestamps": False, "header": False, "format": "png"}


@dataclass(frozen=True)
class Numbered:
    """A film: frame ``first`` is shown at ``start``, in seconds, the others follow."""

    path: Path
    fps: Fraction
    start: float = 0.0
    first: int = 0
    bits: int = 12

    def off(self, time: float, number: int) -> float:
        """Return by how many frames a number differs from the one due at a time."""
        return abs(float(self.first + (time - self.start) * self.fps) - number)


@dataclass(frozen=True)
class Shown:
    """What one picture shows: a number, at a stated time."""

    time: float
    number: int


def of_catalogue(name: str) -> Numbered:
    """Return a film of the suite by its name."""
    (one,) = [film for film in catalogue.FILMS if film.name == name]
    return Numbered(make.film(one), one.fps, one.start, one.first, one.bits)


def sheet(columns: int, rows: int) -> dict[str, Any]:
    """Return the spec of a contact sheet of tiles of 192 pixels or so."""
    size = {"columns": columns, "rows": rows, "width": columns * (TILE + 8)}
    return {"kind": "contact_sheet", **size, **BARE}


def stills(service: Service, job: Any, film: Numbered, name: str) -> list[Shown]:
    """Read the stills of a thumbnail output."""
    found = output_of(job, name)["artifacts"]
    return [Shown(one["time"], _number(_picture(service, one), film)) for one in found]


def tiles(service: Service, job: Any, film: Numbered) -> tuple[Any, list[Shown]]:
    """Read the storyboard's index and its tiles."""
    index = service.fetch(artifact(job, "storyboard", "storyboard.json")).json()
    size = index["tile_width"], index["tile_height"]
    shown = []
    for tile in index["tiles"]:
        picture = _picture(service, artifact(job, "storyboard", tile["file"]))
        left, top = tile["x"], tile["y"]
        part = picture.crop((left, top, left + size[0], top + size[1]))
        shown.append(Shown(tile["time"], _number(part, film)))
    return index, shown


def cells(service: Service, job: Any, film: Numbered) -> list[Shown]:
    """Read the frames of a bare contact sheet."""
    found = artifact(job, "contact_sheet")
    details, picture = found["details"], _picture(service, found)
    width, height = details["tile_width"], details["tile_height"]
    columns, rows = details["columns"], details["rows"]
    margin = max(6, picture.width // 64)
    gap = max(2, margin // 3)
    left = (picture.width - columns * (width + gap) + gap) // 2
    top = (picture.height - rows * (height + gap) + gap) // 2
    shown = []
    for place, time in enumerate(details["times"]):
        row, column = divmod(place, columns)
        x, y = left + column * (width + gap), top + row * (height + gap)
        part = picture.crop((x, y, x + width, y + height))
        shown.append(Shown(time, _number(part, film)))
    return shown


def _picture(service: Service, found: Any) -> Image.Image:
    return Image.open(io.BytesIO(service.fetch(found).body)).convert("RGB")


def _number(picture: Image.Image, film: Numbered) -> int:
    return marks.read(picture, film.bits).number
