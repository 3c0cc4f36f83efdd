"""What a film is: how it is made, and what it shows then."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

Size = tuple[int, int]

SMALL: Size = (192, 108)


@dataclass(frozen=True)
class Sound:
    """A tone beside the picture, in seconds of the file's clock.

    `stream` is its place among the file's streams.
    """

    start: float = 0.0
    duration: float | None = None
    codec: tuple[str, ...] = ("-c:a", "aac", "-b:a", "32k")
    stream: int = 1


@dataclass(frozen=True)
class Step:
    """One thing that is done to an encoded file: a function of `rewrite`."""

    function: str
    suffix: str
    options: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Film:
    """A film: first how it is made, then what differs in the file from what was drawn.

    `drawn` frames are drawn at `fps` and encoded with the options `video` and `mux` to
    a file of `encoded_as` (default: the suffix of `file`); `steps` make the film of it.
    """

    name: str
    file: str
    condition: str
    drawn: int
    fps: Fraction
    video: tuple[str, ...]
    mux: tuple[str, ...] = ()
    size: Size = SMALL
    shot: int = 0
    sound: Sound | None = None
    encoded_as: str | None = None
    steps: tuple[Step, ...] = ()
    start: float = 0.0
    first: int = 0
    frames: int | None = None
    times: tuple[float, ...] = ()
    end: float | None = None
    warnings: tuple[str, ...] = ()
    may_warn: tuple[str, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    options: bool = False
    bits: int = 20
    stream: str = "0:V:0"
    long: bool = False

    @property
    def count(self) -> int:
        """Return how many frames the film shows."""
        return self.drawn if self.frames is None else self.frames

    @property
    def shown_at(self) -> list[float]:
        """Return the time of each frame on the film's timeline."""
        if self.times:
            return list(self.times)
        return [float(self.start + k / self.fps) for k in range(self.count)]

    @property
    def duration(self) -> float:
        """Return when the last frame ends, on the film's timeline."""
        if self.end is not None:
            return self.end
        return float(self.shown_at[-1] + 1 / self.fps)

    @property
    def recipe(self) -> str:
        """Return all that the file depends on, as text."""
        return json.dumps(asdict(self), default=str, sort_keys=True)

    def description(self) -> dict[str, Any]:
        """Return the film's entry in `films.json`."""
        whole = self.fps.denominator == 1
        last = self.first + self.count
        entry: dict[str, Any] = {
            "file": self.file,
            "name": self.name,
            "condition": self.condition,
            "fps": self.fps.numerator if whole else str(self.fps),
            "start": round(self.shown_at[0], 6),
            "first": self.first,
            "frames": self.count,
            "duration": round(self.duration, 6),
            "size": list(self.size),
            "bits": self.bits,
            "expected_warnings": list(self.warnings),
            "allowed_warnings": list(self.may_warn),
            "expected_errors": dict(self.errors),
            "long": self.long,
            "options": self.options,
        }
        if self.times:
            entry["times"] = [round(time, 6) for time in self.times]
        if self.shot:
            shots = range(0, self.first + self.count, self.shot)
            entry["cuts"] = [n for n in shots if self.first < n < last]
        return entry
