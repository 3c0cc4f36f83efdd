"""How good a frame is as a poster, judged on small samples of it.

Every judgement is a factor between 0 and 1 and the score is their product, so one
fatal fault cannot be outweighed. Brightness, sharpness and uniformity follow the
idea of hecate (Song et al., "To Click or Not To Click", CIKM 2016); the thresholds
are ours. A sample costs about half a millisecond, without any library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from operator import add, mul, sub

from worker.media.recipes.sample import CELLS, Sample, ramp
from worker.media.recipes.texture import Texture, focus, kinship, read_texture
from worker.media.recipes.transition import calmness

_POOR = 0.1
_IS_GREEN = bytes(level < 40 for level in range(256))
_IS_GREY = bytes(125 <= level < 132 for level in range(256))
_IS_MIDDLE = bytes(level == 128 for level in range(256))
# How far a chroma value is from grey, and the sum of both from which a colour is pure.
_FROM_GREY = bytes(abs(level - 128) for level in range(256))
_PURE = 100
_WITHIN_ONE = frozenset((-1, 0, 1)).__contains__
_SHARP = 0.3
_SPECK = 8
_INVERSE = bytes(range(255, -1, -1))


@dataclass(frozen=True)
class Judgement:
    """A sample's score and the factors it is the product of."""

    sample: Sample
    score: float
    factors: dict[str, float]


def _light(sample: Sample) -> tuple[float, float]:
    mean, spread = _spread(sample.cells[0])
    return mean / 255, spread / 255


def _spread(values: bytes) -> tuple[float, float]:
    """Give the mean and the standard deviation."""
    mean = sum(values) / len(values)
    power = sum(map(mul, values, values)) / len(values)
    return mean, sqrt(max(0.0, power - mean * mean))


def _colour(sample: Sample) -> float:
    """Give how rich the colours are: spread and strength of the chroma, 0 to 1."""
    _, u, v = sample.cells
    (u_mean, u_spread), (v_mean, v_spread) = _spread(u), _spread(v)
    spread = u_spread + v_spread
    strength = abs(u_mean - 128) + abs(v_mean - 128)
    return ramp(spread + 0.3 * strength, 0, 30)


def _exposure(brightness: float, contrast: float) -> float:
    dark = ramp(brightness, 0.03, 0.17)
    bright = 1 - 0.95 * ramp(brightness, 0.75, 0.93)
    return dark * bright * (0.02 + 0.98 * ramp(contrast, 0.01, 0.11))


def _whole(sample: Sample) -> float:
    """Tell a picture from damage: lost blocks, or blocks that do not fit together."""
    order = kinship(sample.cells[0], CELLS[0])
    lost = 0.95 * ramp(_broken_share(sample), 0.02, 0.25)
    strange = 0.8 * ramp(_specks(sample), 0.045, 0.075)
    return (1 - lost) * (1 - strange) * (0.1 + 0.9 * ramp(order, 0.2, 0.5))


def _specks(sample: Sample) -> float:
    """Give the share of cells whose colour none of their neighbours comes near."""
    _, u, v = sample.cells
    return sum(
        _peaks(plane) + _peaks(plane.translate(_INVERSE)) for plane in (u, v)
    ) / len(u)


def _peaks(plane: bytes) -> int:
    """Count the values that stand out above all four beside them."""
    width = CELLS[0]
    inner = plane[width:-width]
    above, left, right, below = (
        plane[at : at + len(inner)] for at in (0, width - 1, width + 1, 2 * width)
    )
    around = map(max, above, left, right, below)
    return sum(map(_SPECK.__lt__, map(sub, inner, around)))


def _broken_share(sample: Sample) -> float:
    """Give the share of cells in the colours that decoders leave for lost blocks.

    FFmpeg's picture of missing data is Y = U = V = 0 (a strong green) or 128 (grey).
    """
    y, u, v = sample.cells
    green = _both(u.translate(_IS_GREEN), v.translate(_IS_GREEN))
    tint = _both(u.translate(_IS_MIDDLE), v.translate(_IS_MIDDLE))
    grey = tint & int.from_bytes(y.translate(_IS_GREY))
    return max(green.bit_count(), grey.bit_count()) / len(y)


def _both(one: bytes, other: bytes) -> int:
    return int.from_bytes(one) & int.from_bytes(other)


def _natural(sample: Sample) -> float:
    """Tell a picture from a test card: large areas of pure colours."""
    _, u, v = sample.cells
    strength = map(add, u.translate(_FROM_GREY), v.translate(_FROM_GREY))
    share = sum(map(_PURE.__lt__, strength)) / len(u)
    return 1 - 0.7 * ramp(share, 0.35, 0.6)


def _filmed(sample: Sample) -> float:
    """Tell a filmed picture from a card, which is even over large areas.

    Of the cells of footage one in ten has the very colour of its neighbours, of a
    night sky's or of flat art's a half, of a test card's as many, of a title's most.
    """
    even = -1
    for plane in sample.cells:
        even &= _same(plane, 1) & _same(plane, CELLS[0])
    return 1 - 0.7 * ramp(even.bit_count() / len(sample.light), 0.2, 0.6)


def _same(values: bytes, step: int) -> int:
    """Give a byte of 1 for each value that is as the one ``step`` on, within one."""
    steps = map(sub, values[step:], values)
    return int.from_bytes(bytes(map(_WITHIN_ONE, steps)), "little")


def judge(
    samples: Sequence[Sample], end: float | None, keep: int = 8
) -> list[Judgement]:
    """Score the samples against each other, best first.

    ``samples`` are in order of window and time; ``end`` is the video's length in
    seconds where it is known. The points are read for ``keep`` samples that
    are good without them; only those are given back.
    """
    stretches, rest = _shortlist(_first_look(samples, end), keep)
    spread = [read_texture(one.sample) for one in stretches]
    textures = [*spread, *(read_texture(one.sample) for one in rest)]
    sharpest = max((t.edges * ramp(t.kinship, 0.2, 0.5) for t in textures), default=0.0)
    judged = [
        _second_look(one, texture, spread, sharpest)
        for one, texture in zip([*stretches, *rest], textures, strict=True)
    ]
    return sorted(judged, key=lambda one: one.score, reverse=True)


def _shortlist(
    judged: list[Judgement], keep: int
) -> tuple[list[Judgement], list[Judgement]]:
    """Take the best of each stretch of the clip, and then the best of the rest.

    Faults that show in comparison only (a tear, noise, blur) need other stretches.
    """
    size = -(-len(judged) // (keep // 2 + 1)) or 1
    stretches = (judged[at : at + size] for at in range(0, len(judged), size))
    best = [max(part, key=_by_score) for part in stretches]
    taken = {id(one) for one in best}
    rest = sorted(
        (one for one in judged if id(one) not in taken), key=_by_score, reverse=True
    )
    return best, rest[: keep - len(best)]


def _by_score(one: Judgement) -> float:
    return one.score


def _first_look(samples: Sequence[Sample], end: float | None) -> list[Judgement]:
    every = max(1, len(samples) // 8)
    others = samples[::every]
    judged = []
    for sample, calm in zip(samples, calmness(samples), strict=True):
        factors = {
            "exposure": _exposure(*_light(sample)),
            "colour": 0.85 + 0.15 * _colour(sample),
            "natural": _natural(sample),
            "filmed": _filmed(sample),
            "whole": _whole(sample),
            "calm": calm,
            "typical": 0.8 + 0.2 * _typical(sample, others),
            "place": _place(sample.time, end),
        }
        judged.append(Judgement(sample, _product(factors), factors))
    return _in_focus(judged)


def _in_focus(judged: list[Judgement]) -> list[Judgement]:
    """Compare the frames' focus with that of the clip's best picture."""
    found = [focus(one.sample) for one in judged]
    best = max(
        (
            min(sharp, _SHARP) * one.score
            for one, sharp in zip(judged, found, strict=True)
        ),
        default=0.0,
    )
    weight = 0.85 * ramp(best, 0.02, 0.08)
    return [
        _with(one, focus=1 - weight * (1 - ramp(sharp, 0, 0.6 * best or 1)))
        for one, sharp in zip(judged, found, strict=True)
    ]


def _with(one: Judgement, **more: float) -> Judgement:
    factors = one.factors | more
    return Judgement(one.sample, _product(factors), factors)


def _second_look(
    one: Judgement, texture: Texture, spread: list[Texture], sharpest: float
) -> Judgement:
    row, strength = texture.tear
    near = range(row - 1, row + 2)
    same = sum(1 for t in spread if t.tear[0] in near and t.tear[1] > 3)
    lone = same < 0.8 * len(spread)
    calmest = min(t.grain for t in spread)
    return _with(
        one,
        sharp=0.05
        + 0.1 * ramp(texture.strokes, 0, 60)
        + 0.85 * ramp(texture.edges, 0, max(8.0, 0.6 * sharpest)),
        rich=_rich(texture),
        picture=0.03 + 0.97 * ramp(texture.kinship, 0.2, 0.5),
        clean=1 - 0.6 * ramp(texture.grain - calmest, 3, 8),
        untorn=1 - 0.7 * ramp(strength, 3.5, 7) if lone else 1.0,
    )


def _rich(texture: Texture) -> float:
    """Tell a filmed picture from a card: text and logos stand on an even ground."""
    card = 1 - 0.9 * ramp(texture.dominance, 0.45, 0.85)
    return card * (1 - 0.8 * ramp(texture.smooth, 0.82, 0.97))


def _product(factors: dict[str, float]) -> float:
    score = 1.0
    for factor in factors.values():
        score *= factor
    return score


def _typical(sample: Sample, others: Sequence[Sample]) -> float:
    size = 255 * len(sample.gist)
    near = sum(
        1 - ramp(sum(map(abs, map(sub, sample.gist, other.gist))) / size, 0.04, 0.12)
        for other in others
    )
    return ramp(near / len(others), 0, 0.5)


def _place(time: float, end: float | None) -> float:
    """Prefer the middle a little: openings and endings are seldom the content."""
    if not end or end <= 0:
        return 1.0
    return 1 - 0.2 * ramp(abs(time / end - 0.5), 0.25, 0.5)


def is_poor(score: float) -> bool:
    """Tell whether a frame with that score is black, white, flat or broken."""
    return score < _POOR
