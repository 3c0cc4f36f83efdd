"""Describe a picture for a page that waits for it: a thumbhash and one colour.

A thumbhash is the low end of a picture's cosine transform in about 25 bytes. The format
is Evan Wallace's (2023): luminance in up to 7 x 7 terms (5 x 5 beside an alpha
channel), yellow-blue and red-green in 3 x 3, four bits a term.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, floor, pi
from operator import mul

from common.outputs.specs import Placeholder
from worker.media.recipes.shared import blurhash, lqip

MAX_SIDE = 100
# The longer side of the small copies that it is computed from.
SMALL = 64
_OPAQUE = 128
_GROUND = 1 / 3


@dataclass(frozen=True)
class _Channel:
    """A channel's mean, its other terms scaled to 0..1, and their scale."""

    mean: float
    terms: list[float]
    scale: float


def describe(
    rgba: bytes, width: int, height: int, kind: Placeholder = "thumbhash"
) -> dict[str, str]:
    """Return a picture's ``placeholder`` and ``dominant_color`` (#rrggbb).

    The placeholder is a thumbhash in base64, a blurhash, or a data URI (``lqip``).

    ``rgba`` is the picture, 4 bytes a pixel, no side over :data:`MAX_SIDE`. Raises
    ValueError if the sizes do not fit.
    """
    shown = {
        "thumbhash": lambda: base64.b64encode(thumbhash(rgba, width, height)).decode(),
        "blurhash": lambda: blurhash.blurhash(rgba, width, height),
        "lqip": lambda: lqip.data_uri(rgba, width, height),
    }[kind]()
    return {"placeholder": shown, "dominant_color": dominant_color(rgba)}


def thumbhash(rgba: bytes, width: int, height: int) -> bytes:
    """Encode a small picture; the module describes the format."""
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ValueError(f"{width}x{height} is not within 1..{MAX_SIDE} pixels a side")
    if len(rgba) != 4 * width * height:
        raise ValueError(f"{len(rgba)} bytes are not {width}x{height} pixels of RGBA")
    luma, yellow, red, alpha = _planes(rgba)
    has_alpha = min(alpha) < 1
    most = 5 if has_alpha else 7
    longest = max(width, height)
    across = max(1, _round(most * width / longest))
    down = max(1, _round(most * height / longest))
    size = (width, height)
    light = _transform(luma, size, max(3, across), max(3, down))
    tints = [_transform(plane, size, 3, 3) for plane in (yellow, red)]
    veil = [_transform(alpha, size, 5, 5)] if has_alpha else []
    shorter = down if width > height else across
    head = _header(
        light, tints, has_alpha=has_alpha, wide=width > height, shorter=shorter
    )
    if veil:
        head.append(_round(15 * veil[0].mean) | _round(15 * veil[0].scale) << 4)
    terms = [term for channel in (light, *tints, *veil) for term in channel.terms]
    nibbles = [_round(15 * term) for term in terms]
    nibbles += [0] * (len(nibbles) % 2)
    tail = (
        low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True)
    )
    return bytes([*head, *tail])


def _header(
    light: _Channel, tints: list[_Channel], *, has_alpha: bool, wide: bool, shorter: int
) -> list[int]:
    yellow, red = tints
    first = (
        _round(63 * light.mean)
        | _round(31.5 + 31.5 * yellow.mean) << 6
        | _round(31.5 + 31.5 * red.mean) << 12
        | _round(31 * light.scale) << 18
        | int(has_alpha) << 23
    )
    second = (
        shorter
        | _round(63 * yellow.scale) << 3
        | _round(63 * red.scale) << 9
        | int(wide) << 15
    )
    return [*first.to_bytes(3, "little"), *second.to_bytes(2, "little")]


def _planes(
    rgba: bytes,
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return luminance, yellow-blue, red-green and alpha over the mean colour."""
    alpha = [a / 255 for a in rgba[3::4]]
    weight = sum(alpha)
    bands = []
    for band in (rgba[0::4], rgba[1::4], rgba[2::4]):
        mean = sum(map(mul, band, alpha)) / (255 * weight) if weight else 0.0
        bands.append(
            [mean * (1 - a) + a * c / 255 for c, a in zip(band, alpha, strict=True)]
        )
    pixels = list(zip(*bands, strict=True))
    return (
        [(r + g + b) / 3 for r, g, b in pixels],
        [(r + g) / 2 - b for r, g, b in pixels],
        [r - g for r, g, _ in pixels],
        alpha,
    )


def _transform(
    plane: Sequence[float], size: tuple[int, int], across: int, down: int
) -> _Channel:
    """Return the cosine terms in the triangle below the two numbers of terms."""
    width, height = size
    rows = [plane[at : at + width] for at in range(0, len(plane), width)]
    sums = [
        [sum(map(mul, row, wave)) for row in rows] for wave in _waves(width, across)
    ]
    terms = [
        sum(map(mul, sums[x], wave)) / (width * height)
        for y, wave in enumerate(_waves(height, down))
        for x in range(across)
        if x * down < across * (down - y)
    ]
    mean, rest = terms[0], terms[1:]
    scale = max(map(abs, rest), default=0.0)
    if scale:
        rest = [0.5 + 0.5 / scale * term for term in rest]
    return _Channel(mean, rest, scale)


def _waves(length: int, count: int) -> list[list[float]]:
    return [
        [cos(pi / length * k * (at + 0.5)) for at in range(length)]
        for k in range(count)
    ]


def _round(value: float) -> int:
    """Round halves up, as the format's first encoder does."""
    return floor(value + 0.5)


def dominant_color(rgba: bytes) -> str:
    """Return the most frequent colour, or the mean of those alike, as #rrggbb.

    A single colour is returned if a third of the most frequent group has it: the
    background of a slide, without the soft edges of its text. Colours are alike if the
    upper three bits of all channels agree. Mostly transparent pixels count only if all
    are; a fully transparent picture is black.
    """
    pixels = list(zip(rgba[0::4], rgba[1::4], rgba[2::4], rgba[3::4], strict=True))
    solid = [(r, g, b) for r, g, b, a in pixels if a >= _OPAQUE]
    solid = solid or [(r, g, b) for r, g, b, a in pixels if a > 0]
    if not solid:
        return "#000000"
    boxes = Counter((r >> 5, g >> 5, b >> 5) for r, g, b in solid)
    box = max(boxes, key=lambda one: (boxes[one], one))
    alike = [one for one in solid if tuple(c >> 5 for c in one) == box]
    shares = Counter(alike)
    ground = max(shares, key=lambda one: (shares[one], one))
    if shares[ground] >= _GROUND * len(alike):
        return "#" + "".join(f"{level:02x}" for level in ground)
    mean = (_round(sum(band) / len(alike)) for band in zip(*alike, strict=True))
    return "#" + "".join(f"{level:02x}" for level in mean)
