"""Films whose every frame carries its number, as ``films.json`` in a folder lists them.

The file is a list of objects::

    {
      "file": "radl.mkv",           beside films.json
      "name": "HEVC, RADL",         as the table names it; default: the file's name
      "fps": "24000/1001",          number or "numerator/denominator"
      "start": 0.0,                 seconds on the film's own timeline at which
      "first": 0,                   the first numbered frame is shown, and its number
      "frames": 240,
      "times": [0.0, 0.04, ...],    of each frame, where they are uneven
      "duration": 10.01,            when the last frame ends; default: a frame later
      "cuts": [60, 120],            numbers of the frames that begin a new scene
      "bits": 20,                   of the marks: 20 (checked) or 12 (marks.WIDE)
      "size": [320, 180],           as shown
      "expected_warnings": [],      which the job or one of its outputs must have
      "allowed_warnings": [],       which it may have as well
      "expected_errors": {},        error code by kind, or by "*", where one is right
      "long": false,                outside the fast part
      "options": false              every option is asked of it
    }

Only ``file``, ``fps`` and ``frames`` are needed.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any


class CatalogueError(Exception):
    """``films.json`` is missing or says something that cannot be used."""


@dataclass(frozen=True)
class Film:
    """One film and what is true of it; times in seconds on its own timeline."""

    file: Path
    name: str
    fps: Fraction
    frames: int
    start: float = 0.0
    first: int = 0
    uneven: tuple[float, ...] = ()
    stated_end: float | None = None
    cuts: tuple[int, ...] = ()
    bits: int = 20
    size: tuple[int, int] | None = None
    expected_warnings: frozenset[str] = frozenset()
    allowed_warnings: frozenset[str] = frozenset()
    expected_errors: dict[str, str] = field(default_factory=dict)
    long: bool = False
    options: bool = False

    @property
    def length(self) -> float:
        """Return how long the film is, from its first frame on."""
        return self.end - self.edges[0]

    @property
    def frame(self) -> float:
        """Return how long a frame is shown, by the rate."""
        return float(1 / self.fps)

    @cached_property
    def edges(self) -> list[float]:
        """Return when each frame begins, and when the last one ends."""
        begin = list(self.uneven) or [
            self.start + float(n / self.fps) for n in range(self.frames)
        ]
        end = begin[-1] + self.frame if self.stated_end is None else self.stated_end
        return [*begin, max(end, begin[-1])]

    @property
    def end(self) -> float:
        """Return when the last frame ends."""
        return self.edges[-1]

    def span(self, number: int) -> tuple[float, float] | None:
        """Return when a frame is on screen, or None where the film has no such one."""
        place = number - self.first
        if not 0 <= place < self.frames:
            return None
        return self.edges[place], self.edges[place + 1]

    def begins_between(self, start: float, end: float) -> bool:
        """Return whether a frame begins at or after ``start`` and before ``end``."""
        begins = self.edges[:-1]
        return bisect_right(begins, end - 1e-6) > bisect_right(begins, start - 1e-6)

    def distance(self, number: int, seconds: float) -> float:
        """Return how far a time lies from when a frame is on screen; 0 within it.

        Before the first frame there is nothing else to show than that one.
        """
        span = self.span(number)
        if span is None:
            return float("inf")
        early = 0.0 if number == self.first else span[0] - seconds
        return max(early, seconds - span[1], 0.0)


def load(folder: Path) -> list[Film]:
    """Read ``films.json`` of a folder; raises CatalogueError naming what is wrong."""
    place = folder / "films.json"
    try:
        entries = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{place}: {error}") from error
    if not isinstance(entries, list):
        raise CatalogueError(f"{place} holds no list of films")
    return [_film(folder, place, number, one) for number, one in enumerate(entries)]


def _film(folder: Path, place: Path, number: int, entry: dict[str, Any]) -> Film:
    try:
        times = tuple(float(t) for t in entry.get("times") or ())
        film = Film(
            file=folder / entry["file"],
            name=str(entry.get("name") or entry["file"]),
            fps=Fraction(str(entry["fps"])),
            frames=int(entry.get("frames") or len(times)),
            start=float(entry.get("start", 0)),
            first=int(entry.get("first", 0)),
            uneven=times,
            stated_end=entry.get("duration"),
            cuts=tuple(entry.get("cuts", ())),
            bits=int(entry.get("bits", 20)),
            size=_size(entry.get("size")),
            expected_warnings=frozenset(entry.get("expected_warnings", ())),
            allowed_warnings=frozenset(entry.get("allowed_warnings", ())),
            expected_errors=dict(entry.get("expected_errors", {})),
            long=bool(entry.get("long", False)),
            options=bool(entry.get("options", False)),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CatalogueError(
            f"{place}, film {number}: {type(error).__name__}: {error}"
        ) from error
    if not film.file.is_file():
        raise CatalogueError(f"{place}, film {number}: there is no {film.file}")
    if film.frames < 1 or (times and len(times) != film.frames):
        raise CatalogueError(f"{place}, film {number}: frames and times do not agree")
    return film


def _size(value: Any) -> tuple[int, int] | None:
    return None if value is None else (int(value[0]), int(value[1]))
