"""Compare small grey pictures by histograms of their differences.

Pillow does the arithmetic and nothing else: no user's file ever reaches its decoders.
The histogram of a difference takes some ten microseconds, in pure Python a thousand.
"""

from __future__ import annotations

from math import dist, sqrt
from operator import mul

from PIL import Image, ImageChops, ImageFilter

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


def difference(one: Plane, other: Plane) -> Plane:
    """Return how far each value is from the other's."""
    return ImageChops.difference(one, other)


def added(one: Plane, other: Plane) -> Plane:
    """Return the sums of the values, at most 255."""
    return ImageChops.add(one, other)


def darker(one: Plane, other: Plane) -> Plane:
    """Return the lower of both values everywhere."""
    return ImageChops.darker(one, other)


def above(picture: Plane, low: int) -> Plane:
    """Return by how much each value is over a level."""
    return picture.point([max(0, level - low) for level in _LEVELS])


def moved(picture: Plane, x: int, y: int) -> Plane:
    """Return a plane moved to the left and up; its edge is repeated."""
    width, height = picture.size
    size = (width + 2 * abs(x), height + 2 * abs(y))
    wide = Image.new("L", size)
    at = (abs(x), abs(y))
    if x or y:
        wide.paste(picture.resize(size, Image.Resampling.NEAREST))
    wide.paste(picture, at)
    left, top = at[0] + x, at[1] + y
    return wide.crop((left, top, left + width, top + height))


def blurred(picture: Plane) -> Plane:
    """Return a plane of the means of each value and those around it."""
    return picture.filter(ImageFilter.BoxBlur(1))
