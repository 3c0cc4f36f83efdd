"""Compare small grey pictures by histograms of their differences.

Pillow does the arithmetic and nothing else: no user's file ever reaches its decoders.
The histogram of a difference takes some ten microseconds, in pure Python a thousand.
"""

from __future__ import annotations

from math import dist, sqrt
from operator import mul

from PIL import Image, ImageChops

Plane = Image.Image
Histogram = list[int]

_LEVELS = range(256)
_SQUARES = [level * level for level in _LEVELS]


def moments(values: bytes) -> tuple[float, float]:
    """Return the mean and the standard deviation."""
    many = len(values)
    middle = sum(values) / many
    return middle, dist(values, [middle] * many) / sqrt(many)


def plane(data: bytes, width: int) -> Plane:
    """Return rows of 8-bit values as a picture."""
    return Image.frombytes("L", (width, len(data) // width), data)


def differences(picture: Plane, across: int = 0, down: int = 0) -> Plane:
    """Return how far each value is from the one so many columns and rows away."""
    width, height = picture.size
    here = picture.crop((0, 0, width - across, height - down))
    return ImageChops.difference(here, picture.crop((across, down, width, height)))


def difference_histogram(one: Plane, other: Plane) -> Histogram:
    """Return the histogram of the differences of two pictures of one size."""
    return ImageChops.difference(one, other).histogram()


def even_share(picture: Plane) -> float:
    """Return the share of values that differ by at most 1 from right and below."""
    width, height = picture.size
    across = differences(picture, across=1).crop((0, 0, width - 1, height - 1))
    down = differences(picture, down=1).crop((0, 0, width - 1, height - 1))
    return share_up_to(ImageChops.lighter(across, down).histogram(), 1)


def distance_histogram(one: Plane, other: Plane, zero: int) -> Histogram:
    """Return the histogram of both values' summed distances from a zero level."""
    level = Image.new("L", one.size, zero)
    first, second = (ImageChops.difference(part, level) for part in (one, other))
    return ImageChops.add(first, second).histogram()


def row_means(picture: Plane) -> bytes:
    """Return the mean of each row."""
    return picture.resize((1, picture.height), Image.Resampling.BOX).tobytes()


def mean_square(counts: Histogram) -> float:
    """Return the mean of the squares of a histogram."""
    return float(sum(map(mul, counts, _SQUARES)) / sum(counts))


def mean(counts: Histogram) -> float:
    """Return the mean of a histogram."""
    return float(sum(map(mul, counts, _LEVELS)) / sum(counts))


def share_up_to(counts: Histogram, most: int) -> float:
    """Return the share of values up to ``most``."""
    return sum(counts[: most + 1]) / sum(counts)


def upper_quantile(counts: Histogram, part: float) -> int:
    """Return the value that a given share of all values reaches."""
    wanted = part * sum(counts)
    for level in reversed(_LEVELS):
        wanted -= counts[level]
        if wanted <= 0:
            break
    return level
