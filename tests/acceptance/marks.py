"""Numbered frames: draw them, and read the number back from any picture of one.

A frame shows its number as black and white cells in its middle, and a colour in each
corner: red at the top left, green at the top right, blue at the bottom left, yellow at
the bottom right. There are two grids:

* `COMPACT`, which `draw` uses: 24 cells, 6 x 4, in the middle half of the frame (so
  that a square cut from a wide frame holds them all). They are 20 bits of number and
  four that check it: the exclusive or of the number's five nibbles and 5. A flat
  picture fails that check, whether dark or bright.
* `WIDE`: 12 bits in 6 x 2 cells over nearly the whole width, without a check, as the
  files of tests/cases have them.

Where a picture shows more or less of the film than its frame (`cover`, `pad`, one tile
of a sheet), `place` says where the film's frame lies in it; see `contained` and
`covered`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]

BLACK, WHITE = 16, 235
CORNERS: dict[str, Colour] = {
    "top_left": (220, 20, 20),
    "top_right": (20, 190, 20),
    "bottom_left": (20, 20, 220),
    "bottom_right": (220, 220, 20),
}
CORNER = 0.2
"""A corner's share of each side."""

LEAST_CONTRAST = 60
"""Levels between the darkest and the brightest cell of a mark."""

LEAST_MARGIN = 0.2
"""Share of the contrast by which each cell must keep off the middle."""

FARTHEST_CORNER = 110
"""Levels by which a channel of a corner may be off in a mark without a check."""


class Unreadable(Exception):
    """The picture shows no mark that can be trusted."""


@dataclass(frozen=True)
class Grid:
    """Where the cells of a mark lie, as shares of the frame, and what they hold."""

    columns: int
    rows: int
    left: float
    top: float
    width: float
    height: float
    bits: int
    checked: bool

    def boxes(self) -> Iterator[Box]:
        """Yield the cells row by row; the number's highest bit comes first."""
        for row in range(self.rows):
            for column in range(self.columns):
                left = self.left + self.width * column
                top = self.top + self.height * row
                yield (left, top, left + self.width, top + self.height)


COMPACT = Grid(6, 4, 0.26, 0.26, 0.08, 0.12, bits=20, checked=True)
WIDE = Grid(6, 2, 0.05, 0.3, 0.15, 0.2, bits=12, checked=False)
GRIDS = {grid.bits: grid for grid in (COMPACT, WIDE)}


@dataclass(frozen=True)
class Reading:
    """What a picture of a numbered frame shows.

    `margin` is 0 (no cell may be trusted) to 1 (all are black or white). `corners` are
    the mean colours of those corners of the frame that lie in the picture.
    """

    number: int
    margin: float
    corners: dict[str, Colour]

    @property
    def corner_error(self) -> int:
        """Return by how many levels the worst channel of a corner is off."""
        return max(
            (_distance(c, CORNERS[k]) for k, c in self.corners.items()), default=0
        )

    @property
    def upright(self) -> bool:
        """Return True if every visible corner shows the colour that belongs there."""
        return all(
            min(CORNERS, key=lambda name: _distance(colour, CORNERS[name])) == corner
            for corner, colour in self.corners.items()
        )


def _distance(one: Colour, other: Colour) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def check_of(number: int) -> int:
    """Return the four bits that stand behind a number of 20 bits."""
    check = 5
    for shift in range(0, 20, 4):
        check ^= number >> shift & 15
    return check


def _pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    (left, top, right, bottom), (width, height) = box, size
    return (
        round(left * width),
        round(top * height),
        round(right * width),
        round(bottom * height),
    )


@lru_cache(maxsize=64)
def _ground(size: tuple[int, int], hue: int) -> Image.Image:
    """Draw all but the cells: two gradients, the corners, and black under the grid."""
    width, height = size
    across = Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_90)
    across = across.resize(size)
    down = Image.linear_gradient("L").resize(size)
    channels = [
        across.point([60 + v // 2 for v in range(256)]),
        down.point([(90 + v // 3 + hue) % 200 for v in range(256)]),
        across.point([(200 - v // 2 + hue // 2) % 220 for v in range(256)]),
    ]
    picture = Image.merge("RGB", channels)
    side, edge = round(width * CORNER), round(height * CORNER)
    lefts = {"left": 0, "right": width - side}
    tops = {"top": 0, "bottom": height - edge}
    for name, colour in CORNERS.items():
        vertical, _, horizontal = name.partition("_")
        left, top = lefts[horizontal], tops[vertical]
        picture.paste(colour, (left, top, left + side, top + edge))
    return picture


def draw(number: int, size: tuple[int, int], hue: int = 0) -> Image.Image:
    """Return the frame of that number, RGB.

    `hue` is the colour of its ground: frames of one shot share it. A bar at the lower
    edge moves with the number, so that no two frames are the same anywhere else either.
    """
    if not 0 <= number < 1 << COMPACT.bits:
        raise ValueError(f"number {number} does not fit into {COMPACT.bits} bits")
    picture = _ground(size, hue).copy()
    word = number << 4 | check_of(number)
    for place, box in enumerate(COMPACT.boxes()):
        bit = word >> (COMPACT.columns * COMPACT.rows - 1 - place) & 1
        level = WHITE if bit else BLACK
        picture.paste((level, level, level), _pixels(box, size))
    begin = 0.22 + 0.05 * (number % 11)
    picture.paste((240, 240, 240), _pixels((begin, 0.86, begin + 0.05, 0.94), size))
    return picture


def contained(size: tuple[int, int], film: tuple[int, int]) -> Box:
    """Return where a film of that shape lies in a picture that shows all of it."""
    scale = min(size[0] / film[0], size[1] / film[1])
    return _centred(size, film, scale)


def covered(size: tuple[int, int], film: tuple[int, int]) -> Box:
    """Return where a film of that shape lies in a picture that it fills.

    The edges that the picture leaves out lie outside it: such a box has negative
    coordinates, or ones over the picture's.
    """
    scale = max(size[0] / film[0], size[1] / film[1])
    return _centred(size, film, scale)


def _centred(size: tuple[int, int], film: tuple[int, int], scale: float) -> Box:
    width, height = film[0] * scale, film[1] * scale
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return (left, top, left + width, top + height)


def _mean(picture: Image.Image, place: Box, box: Box, inner: float) -> Colour | None:
    """Return the mean of the inner part of a box, or None where it is cut off."""
    width, height = place[2] - place[0], place[3] - place[1]
    gap = (1 - inner) / 2
    across, down = (box[2] - box[0]) * gap, (box[3] - box[1]) * gap
    left = place[0] + (box[0] + across) * width
    top = place[1] + (box[1] + down) * height
    right = place[0] + (box[2] - across) * width
    bottom = place[1] + (box[3] - down) * height
    if left < 0 or top < 0 or right > picture.width or bottom > picture.height:
        return None
    part = picture.resize((1, 1), Image.Resampling.BOX, (left, top, right, bottom))
    pixel = part.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return (int(pixel[0]), int(pixel[1]), int(pixel[2]))


def _corners(picture: Image.Image, place: Box) -> dict[str, Colour]:
    found = {}
    for name in CORNERS:
        vertical, _, horizontal = name.partition("_")
        left = 0 if horizontal == "left" else 1 - CORNER
        top = 0 if vertical == "top" else 1 - CORNER
        box = (left, top, left + CORNER, top + CORNER)
        colour = _mean(picture, place, box, 0.5)
        if colour is not None:
            found[name] = colour
    return found


def read(picture: Image.Image, bits: int = 20, place: Box | None = None) -> Reading:
    """Return the number, its margin and the corners of a picture of a numbered frame.

    `bits` is 20 (`COMPACT`) or 12 (`WIDE`). `place` is where the film's frame lies in
    the picture, in pixels; by default it is the whole picture. Raises `Unreadable` when
    a cell is cut off or neither black nor white, when the check fails, and in a grid
    without a check when the visible corners are not those of a film.
    """
    grid = GRIDS[bits]
    picture = picture.convert("RGB")
    place = place or (0, 0, picture.width, picture.height)
    means = [_mean(picture, place, box, 0.5) for box in grid.boxes()]
    levels = [sum(mean) / 3 for mean in means if mean is not None]
    if len(levels) < len(means):
        raise Unreadable(f"{len(means) - len(levels)} cells lie outside the picture")
    corners = _corners(picture, place)
    word, margin = _word(levels, checked=grid.checked)
    reading = Reading(_number(word, grid), margin, corners)
    if not grid.checked and reading.corner_error > FARTHEST_CORNER:
        raise Unreadable(f"the corners are no film's: {corners}")
    return reading


def _word(levels: list[float], *, checked: bool) -> tuple[int, float]:
    """Return the cells' bits and by what share of the contrast they may be trusted.

    A mark that is checked has cells of both kinds; in the other grid all may be alike.
    """
    low, high = (min(levels), max(levels)) if checked else (BLACK, WHITE)
    if high - low < LEAST_CONTRAST:
        raise Unreadable(f"the cells differ by {high - low:.0f} levels only")
    middle, half = (low + high) / 2, (high - low) / 2
    margin = min(1.0, min(abs(level - middle) for level in levels) / half)
    if margin < LEAST_MARGIN:
        raise Unreadable(f"a cell is neither black nor white (margin {margin:.2f})")
    word = 0
    for level in levels:
        word = word << 1 | (level > middle)
    return word, margin


def _number(word: int, grid: Grid) -> int:
    if not grid.checked:
        return word
    number, check = word >> 4, word & 15
    if check != check_of(number):
        raise Unreadable(f"number {number} fails its check")
    return number


def turned(picture: Image.Image, place: Box | None = None) -> int | None:
    """Return by how many degrees clockwise the film is turned, or None if by none of 4.

    Asks the corners alone; a picture that is mirrored, too, gives None.
    """
    picture = picture.convert("RGB")
    found = _corners(picture, place or (0, 0, picture.width, picture.height))
    clockwise = ["top_left", "top_right", "bottom_right", "bottom_left"]
    if len(found) < len(clockwise):
        return None
    nearest = [
        min(CORNERS, key=lambda name: _distance(found[corner], CORNERS[name]))
        for corner in clockwise
    ]
    for quarter in range(4):
        if nearest == clockwise[-quarter:] + clockwise[:-quarter]:
            return quarter * 90
    return None
