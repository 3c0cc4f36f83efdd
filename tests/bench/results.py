"""Rows, what was measured of them, and the lines of the table.

A row measures the same work on several sides: this build first, then another build or
a peer's commands. A target limits a measure of this build, or its ratio to a side.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

Sample = Mapping[str, float]
ROUNDS = 5
_HEAVY_SECONDS, _HEAVY_ROUNDS = 60.0, 2
_LONG_SECONDS, _LONG_ROUNDS = 15.0, 2


class Unavailable(Exception):
    """A side cannot be measured here; the text says what is missing."""


@dataclass(frozen=True)
class Target:
    """A bound on a measure; ``most`` (or ``least``) is of the ratio to ``side``.

    Without a side it bounds the measure itself; without a bound it is only shown.
    """

    measure: str
    side: str = ""
    most: float | None = None
    least: float | None = None

    def holds(self, value: float) -> bool:
        """Return True if the value is within the bound."""
        return (self.most is None or value <= self.most) and (
            self.least is None or value >= self.least
        )


@dataclass(frozen=True)
class Row:
    """The same work on several sides; ``films`` are the inputs that it needs.

    A side is called with what the runner has (services, programs), once for each run.
    It raises Unavailable where it cannot be measured.
    """

    name: str
    text: str
    films: Sequence[str]
    sides: Mapping[str, Callable[[Any], Sample]]
    targets: Sequence[Target]
    slow: bool = False
    rounds: int = ROUNDS

    @property
    def first(self) -> str:
        """Return the side that the targets are about."""
        return next(iter(self.sides))


@dataclass(frozen=True)
class Line:
    """One line of the table: medians, and the median and range of the ratios."""

    row: str
    text: str
    measure: str
    value: float
    side: str
    other: float | None
    ratio: float
    least: float
    most: float
    target: Target

    @property
    def passes(self) -> bool | None:
        """Return whether the target is met; None where it has no bound."""
        if self.target.most is None and self.target.least is None:
            return None
        return self.target.holds(self.ratio)

    @property
    def missed_by(self) -> float:
        """Return how many times the bound the value is, or the bound the value."""
        if self.passes is not False:
            return 1.0
        if self.target.most is None:
            return (self.target.least or 0) / self.ratio if self.ratio else math.inf
        return self.ratio / self.target.most if self.target.most else math.inf


@dataclass
class Measured:
    """The samples of one row, by side, in the order they were taken."""

    row: Row
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    fault: str = ""

    def take(self, context: Any, rounds: int) -> None:
        """Run all sides in turns; what costs much is run fewer times.

        An error ends the row, and is its ``fault``: the other rows are worth having.
        """
        try:
            self._take(context, rounds)
        except Exception as error:  # noqa: BLE001 - whatever a side may raise
            self.fault = f"{type(error).__name__}: {error}"

    def _take(self, context: Any, rounds: int) -> None:
        rounds = min(rounds, self.row.rounds)
        for number in range(rounds):
            for side, act in self.row.sides.items():
                taken = self.samples.get(side, [])
                if side in self.missing or number >= wanted(taken, rounds):
                    continue
                try:
                    self.samples[side] = [*taken, act(context)]
                except Unavailable as reason:
                    self.missing[side] = str(reason)

    def lines(self) -> Iterator[Line]:
        """Yield a line for each target whose side was measured."""
        for target in self.row.targets:
            if {self.row.first, target.side or self.row.first} <= set(self.samples):
                yield self._line(target)

    def _line(self, target: Target) -> Line:
        own = [one[target.measure] for one in self.samples[self.row.first]]
        other, ratios = None, own
        if target.side:
            others = [one[target.measure] for one in self.samples[target.side]]
            other, ratios = statistics.median(others), ratios_of(own, others)
        return Line(
            self.row.name,
            self.row.text,
            target.measure,
            statistics.median(own),
            target.side,
            other,
            statistics.median(ratios),
            min(ratios),
            max(ratios),
            target,
        )


def wanted(taken: Sequence[Sample], rounds: int) -> int:
    """Return how many runs a side gets, by what its first one took."""
    if not taken:
        return rounds
    if taken[0].get("cpu", 0) > _HEAVY_SECONDS:
        return min(rounds, _HEAVY_ROUNDS)
    if taken[0].get("wall", 0) > _LONG_SECONDS:
        return min(rounds, _LONG_ROUNDS)
    return rounds


def ratios_of(own: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return the ratio of each run to the other side's run of the same round.

    The shorter list begins again. Nothing over nothing is 1.
    """
    longest = max(len(own), len(others))
    pairs = zip(cycle(own), cycle(others), range(longest), strict=False)
    return [
        one / other if other else math.inf if one else 1.0 for one, other, _ in pairs
    ]
