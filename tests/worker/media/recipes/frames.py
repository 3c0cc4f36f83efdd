"""Samples drawn by a formula: no FFmpeg, the same numbers every time."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from math import sin

from worker.media.recipes.best_frame.sample import CELLS, POINTS, Sample, nearness

_WIDTH = 640

Picture = Callable[[float, float], float]


@cache
def scene(shift: float = 0.0, *, gain: float = 1.0) -> Picture:
    """A picture with edges and shades: stripes, a disc, a slope."""

    def picture(x: float, y: float) -> float:
        x += shift
        stripes = 40 if sin(9 * x + 5 * y) > 0 else -30
        disc = 60 if (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.05 else 0
        return gain * (90 + stripes + disc + 30 * y + 12 * sin(40 * x + 23 * y))

    return picture


@cache
def flat(level: float) -> Picture:
    return lambda x, y: level


@cache
def noise(seed: int) -> Picture:
    dice = random.Random(seed)
    return lambda x, y: dice.randint(0, 255)


@cache
def mix(a: Picture, b: Picture, share: float) -> Picture:
    return lambda x, y: (1 - share) * a(x, y) + share * b(x, y)


@cache
def halves(top: Picture, bottom: Picture) -> Picture:
    return lambda x, y: top(x, y) if y < 0.5 else bottom(x, y)


@cache
def soft(picture: Picture, radius: float) -> Picture:
    """A picture, blurred: the mean of 25 of its places."""
    steps = [radius * k / 2 for k in range(-2, 3)]
    return lambda x, y: sum(picture(x + a, y + b) for a in steps for b in steps) / 25


@cache
def card() -> Picture:
    """Dark letters in the middle of a bright ground."""

    def picture(x: float, y: float) -> float:
        inside = 0.25 < x < 0.75 and 0.4 < y < 0.6
        return 30 if inside and sin(90 * x) > 0 else 190

    return picture


@cache
def _grid(picture: Picture, size: tuple[int, int]) -> list[bytes]:
    width, height = size
    return [
        bytes(
            min(255, max(0, round(picture((x + 0.5) / width, (y + 0.5) / height))))
            for x in range(width)
        )
        for y in range(height)
    ]


@cache
def _beside(picture: Picture) -> Picture:
    step = nearness(_WIDTH) / _WIDTH
    return lambda x, y: picture(x + step, y)


@cache
def _colour(tint: int | None, specks: int) -> Picture:
    dice = random.Random(specks)
    strange = {(dice.randrange(32), dice.randrange(18)) for _ in range(specks)}

    def colour(x: float, y: float) -> float:
        if (int(32 * x), int(18 * y)) in strange:
            return 230
        return 128 + 50 * (x - y) if tint is None else tint

    return colour


def sample(
    time: float,
    picture: Picture,
    *,
    window: int = 0,
    tint: int | None = None,
    specks: int = 0,
) -> Sample:
    """Return a sample; ``tint`` is the chroma everywhere (None: coloured)."""
    colour = _colour(tint, specks)
    near = _grid(_beside(picture), POINTS)
    rows = zip(*(_grid(view, CELLS) for view in (picture, colour, colour)), strict=True)
    parts = [*_grid(picture, POINTS), *near, *map(b"".join, rows)]
    return Sample(time, b"".join(parts), window, width=_WIDTH)
