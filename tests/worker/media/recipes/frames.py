"""Samples drawn by a formula: no FFmpeg, the same numbers every time."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import sin

from worker.media.recipes.sample import CELLS, POINTS, Sample, nearness

_WIDTH = 640

Look = Callable[[float, float], float]


def scene(shift: float = 0.0, *, gain: float = 1.0) -> Look:
    """A picture with edges and shades: stripes, a disc, a slope."""

    def look(x: float, y: float) -> float:
        x += shift
        stripes = 40 if sin(9 * x + 5 * y) > 0 else -30
        disc = 60 if (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.05 else 0
        return gain * (90 + stripes + disc + 30 * y + 12 * sin(40 * x + 23 * y))

    return look


def flat(level: float) -> Look:
    return lambda x, y: level


def noise(seed: int) -> Look:
    dice = random.Random(seed)
    return lambda x, y: dice.randint(0, 255)


def mix(a: Look, b: Look, share: float) -> Look:
    return lambda x, y: (1 - share) * a(x, y) + share * b(x, y)


def halves(top: Look, bottom: Look) -> Look:
    return lambda x, y: top(x, y) if y < 0.5 else bottom(x, y)


def _grid(look: Look, size: tuple[int, int]) -> list[bytes]:
    width, height = size
    return [
        bytes(
            min(255, max(0, round(look((x + 0.5) / width, (y + 0.5) / height))))
            for x in range(width)
        )
        for y in range(height)
    ]


def sample(
    time: float, look: Look, *, window: int = 0, tint: int | None = None
) -> Sample:
    """Sample a look; ``tint`` is the chroma everywhere (None: coloured)."""

    def colour(x: float, y: float) -> float:
        return 128 + 50 * (x - y) if tint is None else tint

    step = nearness(_WIDTH) / _WIDTH
    near = _grid(lambda x, y: look(x + step, y), POINTS)
    rows = zip(*(_grid(view, CELLS) for view in (look, colour, colour)), strict=True)
    parts = [*_grid(look, POINTS), *near, *map(b"".join, rows)]
    return Sample(time, b"".join(parts), window, width=_WIDTH)
