"""Encode a picture as a blurhash: about 28 characters of its cosine transform.

The format is Dag Agren's (2018, github.com/woltapp/blurhash): terms of linear light, in
base 83. The longer side has four, the shorter three.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, floor, pi
from operator import mul

_DIGITS = (
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "abcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
)
_MORE, _FEWER = 4, 3


def blurhash(rgba: bytes, width: int, height: int) -> str:
    """Return the hash of a small picture, 4 bytes a pixel.

    The format has no transparency: transparent pixels show black.
    """
    across, down = (_MORE, _FEWER) if width >= height else (_FEWER, _MORE)
    alpha = rgba[3::4]
    planes = [
        _transform(_light(rgba[k::4], alpha), width, across, down) for k in range(3)
    ]
    first, *rest = zip(*planes, strict=True)
    largest = max(max(map(abs, term)) for term in rest)
    scale = int(max(0, min(82, floor(largest * 166 - 0.5))))
    level = sum(_srgb(value) << 8 * (2 - k) for k, value in enumerate(first))
    words = [
        _base83(across - 1 + 9 * (down - 1), 1),
        _base83(scale, 1),
        _base83(level, 4),
    ]
    words += [_base83(_term(term, (scale + 1) / 166), 2) for term in rest]
    return "".join(words)


def _light(plane: bytes, alpha: bytes) -> list[float]:
    """Return sRGB levels as linear light over black, 0 to 1."""
    return [_LINEAR[level] * a / 255 for level, a in zip(plane, alpha, strict=True)]


def _linear(level: int) -> float:
    value = level / 255
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


_LINEAR = [_linear(level) for level in range(256)]


def _srgb(value: float) -> int:
    value = max(0.0, min(1.0, value))
    if value <= 0.0031308:
        return int(value * 12.92 * 255 + 0.5)
    return int((1.055 * value ** (1 / 2.4) - 0.055) * 255 + 0.5)


def _transform(
    plane: Sequence[float], width: int, across: int, down: int
) -> list[float]:
    """Return the terms row by row; the first is the mean."""
    height = len(plane) // width
    rows = [plane[at : at + width] for at in range(0, len(plane), width)]
    sums = [
        [sum(map(mul, row, wave)) for row in rows] for wave in _waves(width, across)
    ]
    return [
        sum(map(mul, sums[x], wave)) / (width * height) * (2 if x or y else 1)
        for y, wave in enumerate(_waves(height, down))
        for x in range(across)
    ]


def _waves(length: int, count: int) -> list[list[float]]:
    return [[cos(pi * k * at / length) for at in range(length)] for k in range(count)]


def _term(term: Sequence[float], largest: float) -> int:
    """Return red, green and blue of a term as digits of base 19."""
    found = 0
    for value in term:
        share = value / largest
        root = abs(share) ** 0.5 * (1 if share >= 0 else -1)
        found = 19 * found + max(0, min(18, floor(root * 9 + 9.5)))
    return found


def _base83(value: int, length: int) -> str:
    return "".join(
        _DIGITS[value // 83**place % 83] for place in reversed(range(length))
    )
