"""Score how good a frame is as a poster, from small samples of it.

Every property is a factor between 0 and 1, and the score is their product, so one fatal
fault cannot be outweighed. Brightness, sharpness and uniformity follow the idea of
hecate (Song et al., "To Click or Not To Click", CIKM 2016); the thresholds are ours. A
sample costs about half a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import dist, sqrt
from operator import sub

from worker.media.recipes.best_frame import grey_planes
from worker.media.recipes.best_frame.sample import CELLS, Sample, ramp
from worker.media.recipes.best_frame.texture import Texture
from worker.media.recipes.best_frame.transition import calmness

_POOR = 0.1
_IS_GREEN = bytes(level < 40 for level in range(256))
_IS_GREY = bytes(125 <= level < 132 for level in range(256))
_IS_MIDDLE = bytes(level == 128 for level in range(256))
# A colour is pure if its chroma values' summed distance from grey exceeds this.
_PURE = 85
_SHARP = 0.3
_COMPARED = 0.4
_ELSEWHERE = 0.8
_SPECK = 8
_INVERSE = bytes(range(255, -1, -1))


@dataclass(frozen=True)
class ScoredSample:
    """A sample, its score and the factors that the score is the product of."""

    sample: Sample
    score: float
    factors: dict[str, float]


def _light(sample: Sample) -> tuple[float, float]:
    mean, spread = grey_planes.moments(sample.light)
    return mean / 255, spread / 255


def _colour(sample: Sample) -> float:
    """Return how rich the colours are: spread and strength of the chroma, 0 to 1."""
    _, u, v = sample.cells
    (u_mean, u_spread), (v_mean, v_spread) = (
        grey_planes.moments(u),
        grey_planes.moments(v),
    )
    spread = u_spread + v_spread
    strength = abs(u_mean - 128) + abs(v_mean - 128)
    return ramp(spread + 0.3 * strength, 0, 30)


def _exposure(brightness: float, contrast: float) -> float:
    dark = ramp(brightness, 0.03, 0.17)
    bright = 1 - 0.95 * ramp(brightness, 0.75, 0.93)
    return dark * bright * (0.02 + 0.98 * ramp(contrast, 0.01, 0.11))


def _whole(sample: Sample) -> float:
    """Return a factor that is small for damage: lost or mismatched blocks."""
    order = _kinship(sample.light)
    lost = 0.95 * ramp(_broken_share(sample), 0.02, 0.25)
    return (1 - lost) * (0.1 + 0.9 * ramp(order, 0.2, 0.5))


def _kinship(values: bytes) -> float:
    """Return how alike neighbouring cells are: 1 even or a gradient, 0 noise.

    It is the correlation of neighbours across or down, whichever is less.
    """
    many = len(values)
    power = grey_planes.moments(values)[1] ** 2
    if power <= 1:
        return 1.0
    worst = max(
        dist(values[step:], values[:-step]) ** 2 / (many - step)
        for step in (1, CELLS[0])
    )
    return 1 - worst / (2 * power)


def _specks(sample: Sample) -> float:
    """Return the share of cells whose colour differs from all their neighbours."""
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
    """Return the share of cells in the colours that decoders leave for lost blocks.

    FFmpeg shows missing data as Y = U = V = 0 (a strong green) or 128 (grey).
    """
    y, u, v = sample.cells
    green = _both(u.translate(_IS_GREEN), v.translate(_IS_GREEN))
    tint = _both(u.translate(_IS_MIDDLE), v.translate(_IS_MIDDLE))
    grey = tint & int.from_bytes(y.translate(_IS_GREY))
    return max(green.bit_count(), grey.bit_count()) / len(y)


def _both(one: bytes, other: bytes) -> int:
    return int.from_bytes(one) & int.from_bytes(other)


def _natural(sample: Sample) -> float:
    """Return a factor that is small for test cards: large areas of pure colour."""
    _, u, v = (grey_planes.plane(values, CELLS[0]) for values in sample.cells)
    pure = 1 - grey_planes.share_up_to(
        grey_planes.distance_histogram(u, v, zero=128), _PURE
    )
    return 1 - 0.85 * ramp(pure, 0.3, 0.55) * ramp(sample.even, 0.2, 0.45)


def _varied(sample: Sample) -> float:
    """Return a factor that is small for cards, which are even over large areas.

    One in ten cells of footage is as light as its neighbours; half of those of a night
    sky, flat art or a test card; most of those of a title.
    """
    return 1 - 0.7 * ramp(sample.even, 0.25, 0.65)


def rank(
    samples: Sequence[Sample], end: float | None, keep: int = 8
) -> list[ScoredSample]:
    """Return the samples scored against each other, best first.

    ``samples`` are in order of window and time; ``end`` is the video's length in
    seconds if it is known. The points are read only for the ``keep`` samples that are
    best without them, and only those are returned.
    """
    parts, rest = _shortlist(_score_alone(samples, end), keep)
    spread = [one.sample.texture for one in parts]
    textures = [*spread, *(one.sample.texture for one in rest)]
    both = list(zip([*parts, *rest], textures, strict=True))
    edges = (texture.edges * one.factors["picture"] for one, texture in both)
    sharpest = max(edges, default=0.0)
    scored = [_score_beside(*each, spread, sharpest) for each in both]
    scored.sort(key=_by_score, reverse=True)
    return _without_specks(scored)


def _without_specks(scored: list[ScoredSample]) -> list[ScoredSample]:
    """Check the best for blocks of strange colours, until one has none."""
    seen: list[ScoredSample] = []
    while scored and (not seen or scored[0].score > max(map(_by_score, seen))):
        first = scored.pop(0)
        seen.append(
            _with(first, pure=1 - 0.8 * ramp(_specks(first.sample), 0.045, 0.075))
        )
    return sorted([*seen, *scored], key=_by_score, reverse=True)


def _shortlist(
    scored: list[ScoredSample], keep: int
) -> tuple[list[ScoredSample], list[ScoredSample]]:
    """Return the best of each part of the clip, and then the best of the rest.

    Faults that show only by comparison (a tear, noise, blur) need other parts.
    """
    size = -(-len(scored) // (keep // 2 + 1)) or 1
    parts = (scored[at : at + size] for at in range(0, len(scored), size))
    best = [max(part, key=_by_score) for part in parts]
    taken = {id(one) for one in best}
    rest = sorted(
        (one for one in scored if id(one) not in taken), key=_by_score, reverse=True
    )
    return best, rest[: keep - len(best)]


def _by_score(one: ScoredSample) -> float:
    return one.score


def _score_alone(samples: Sequence[Sample], end: float | None) -> list[ScoredSample]:
    scored = []
    for sample, calm in zip(samples, calmness(samples), strict=True):
        factors = {
            "exposure": _exposure(*_light(sample)),
            "colour": 0.85 + 0.15 * _colour(sample),
            "natural": _natural(sample),
            "filmed": _varied(sample),
            "whole": _whole(sample),
            "calm": calm,
            "typical": 0.75 + 0.25 * _typical(sample, samples),
            "place": _place(sample.time, end),
        }
        scored.append(ScoredSample(sample, _product(factors), factors))
    return _in_focus(scored)


def _in_focus(scored: list[ScoredSample]) -> list[ScoredSample]:
    """Add factors for noise, and for focus compared with the clip's best."""
    found = [one.sample.focus for one in scored]
    scored = [_with(one, picture=_picture(one.sample)) for one in scored]
    sharp = [min(edge, _SHARP) for edge, _ in found]
    least = _COMPARED * max(map(_by_score, scored), default=0.0)
    best = max(
        (edge for edge, one in zip(sharp, scored, strict=True) if one.score >= least),
        default=0.0,
    )
    weight = 0.85 * ramp(best, 0.02, 0.08)
    return [
        _with(one, focus=1 - weight * (1 - ramp(edge, 0, 0.6 * best or 1)))
        for one, edge in zip(scored, sharp, strict=True)
    ]


def _picture(sample: Sample) -> float:
    """Return a factor that is small for noise, whose near points differ."""
    _, alike = sample.focus
    return 0.03 + 0.97 * ramp(alike, 0.2, 0.35)


def _with(one: ScoredSample, **more: float) -> ScoredSample:
    factors = one.factors | more
    return ScoredSample(one.sample, _product(factors), factors)


def _score_beside(
    one: ScoredSample, texture: Texture, spread: list[Texture], sharpest: float
) -> ScoredSample:
    row, strength = texture.tear
    near = range(row - 1, row + 2)
    same = sum(1 for t in spread if t.tear[0] in near and t.tear[1] > 2.5)
    lone = same < 0.8 * len(spread)
    # In flat art, every horizon would count as a tear.
    torn = ramp(strength, 3.2, 5.5) * (1 - ramp(texture.smooth, 0.65, 0.85))
    calmest = min(t.grain for t in spread)
    return _with(
        one,
        sharp=0.05
        + 0.1 * ramp(texture.strokes, 0, 60)
        + 0.85 * ramp(texture.edges, 0, max(8.0, 0.4 * sharpest)),
        filmed=_filmed(one.factors["filmed"], texture),
        clean=1 - 0.6 * ramp(texture.grain - calmest, 3, 8),
        untorn=1 - 0.7 * torn if lone else 1.0,
    )


def _filmed(even: float, texture: Texture) -> float:
    """Return a factor that is small for cards: text and logos on an even ground.

    Flat art, a night sky and snow have some of that, too, so the signs are not simply
    multiplied. ``even`` is :func:`_varied`'s.
    """
    signs = sorted(
        (
            even,
            1 - 0.9 * ramp(texture.dominance, 0.45, 0.85),
            1 - 0.8 * ramp(texture.smooth, 0.82, 0.97),
        )
    )
    return signs[0] * sqrt(signs[1] * signs[2])


def _product(factors: dict[str, float]) -> float:
    score = 1.0
    for factor in factors.values():
        score *= factor
    return score


def _typical(sample: Sample, samples: Sequence[Sample]) -> float:
    """Return how much of the rest of the clip looks like this frame."""
    others = [one for one in samples if abs(one.time - sample.time) > _ELSEWHERE]
    if not others:
        return 1.0
    size = 255 * sqrt(len(sample.gist))
    near = sum(
        1 - ramp(dist(sample.gist, other.gist) / size, 0.06, 0.16) for other in others
    )
    return ramp(near / len(others), 0, 0.2)


def _place(time: float, end: float | None) -> float:
    """Return a factor that slightly prefers the middle of the clip to its ends."""
    if not end or end <= 0:
        return 1.0
    return 1 - 0.2 * ramp(abs(time / end - 0.5), 0.35, 0.5)


def soundness(sample: Sample) -> float:
    """Return how certainly it is not noise, a test card or lost blocks, 0 to 1."""
    return _natural(sample) * _whole(sample) * _picture(sample)


def is_poor(score: float) -> bool:
    """Return True if a frame with that score is black, white, flat or broken."""
    return score < _POOR
