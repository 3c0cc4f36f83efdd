"""Find where in a picture its subject is, from a small copy of it and of frames near.

A cell stands out if no way leads to it from the edge of the picture without a large
change of light or colour: the minimum barrier distance (Zhang et al., "Minimum Barrier
Salient Object Detection at 80 FPS", ICCV 2015). So does one whose colour differs from
those along the sides, one among edges, and above all one that moves otherwise than the
picture. The crop is the window that holds most of what stands out, and whose border
cuts through least of it.

The weights were set on one half of the scenes of ``tests/crop``, and judged on the
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from math import exp, sqrt

from worker.media.recipes.best_frame import grey_planes
from worker.media.recipes.best_frame.grey_planes import Plane

LONG, SHORT = 64, 36
_SWEEPS = 3
# How much colour counts beside light: chroma planes differ by less.
_CHROMA = 1.6
_BARRIERS, _SIDES, _EDGES, _MOTION = 0.8, 0.8, 0.6, 1.6
# The share of the distance from the sides that counts without a barrier.
_UNFENCED = 0.3
# How far from the middle cells count less, as the deviation of a Gaussian.
_MIDDLE = 0.5
# Motion of more than this share of the picture says ever less about a subject.
_MUCH_MOTION = 3.0
# By how many cells the picture may have moved between two frames, and what share of the
# changes a shift may leave.
_SHIFTS = [(x, y) for x in range(-3, 4) for y in range(-2, 3) if (x, y) != (0, 0)]
_FOR_A_SHIFT = 0.9
_STEADY, _LEAST_MOTION = 3, 8.0
_HIGH = 0.98
# What is less than this multiple of the mean of all cells is ground.
_GROUND = 1.8
_CONTRAST = 1.3
# A window: how much less its ends count than its middle, what a border that cuts
# through the subject costs, and what each distance from the centre does.
_SOFT, _CUT, _OFF_CENTRE = 0.7, 1.0, 0.1
_TRIES = 3

Grid = list[float]


@dataclass(frozen=True)
class Look:
    """A small picture as rows of Y, U and V (full range), one plane after another.

    ``width`` is that of the planes. ``near`` are other frames of the same moment.
    """

    data: bytes
    width: int
    near: tuple[bytes, ...] = ()

    @property
    def height(self) -> int:
        """Return the rows of a plane."""
        return len(self.data) // (3 * self.width)

    @cached_property
    def planes(self) -> tuple[bytes, bytes, bytes]:
        """Return Y, U and V."""
        each = self.width * self.height
        y, u, v = (self.data[at : at + each] for at in (0, each, 2 * each))
        return y, u, v

    @cached_property
    def saliency(self) -> Grid:
        """Return how much each cell stands out, row by row, at most 1."""
        return _saliency(self)


def focus(looks: Sequence[Look], window: tuple[float, float]) -> tuple[float, float]:
    """Return the middle of the window that holds most of what stands out.

    ``looks`` are of one size and show what one crop is for. ``window`` has the sides of
    the crop, and both are shares of the sides of the picture.
    """
    grids = [_contrasted(one.saliency) for one in looks]
    grid = [sum(cells) for cells in zip(*grids, strict=True)]
    width, height = looks[0].width, looks[0].height
    across = [sum(grid[x::width]) for x in range(width)]
    down = [sum(grid[y * width : (y + 1) * width]) for y in range(height)]
    return _best(across, window[0]), _best(down, window[1])


def _contrasted(grid: Grid) -> Grid:
    """Return the cells that are more than ground."""
    steep = [value**_CONTRAST for value in grid]
    ground = _GROUND * sum(steep) / len(steep)
    return [max(0.0, value - ground) for value in steep]


def _saliency(look: Look) -> Grid:
    moves = _motion(look)
    moving = _MOTION * max(0.2, min(1.0, 1.5 - _MUCH_MOTION * sum(moves) / len(moves)))
    cells = zip(
        _barriers(look), _side_distances(look), _edges(look), moves, strict=True
    )
    found = [
        _BARRIERS * barrier
        + _SIDES * side * (_UNFENCED + (1 - _UNFENCED) * barrier)
        + _EDGES * edge
        + moving * move
        for barrier, side, edge, move in cells
    ]
    middle = _middle(look)
    return _scaled([one * two for one, two in zip(found, middle, strict=True)], 1.0)


def _scaled(grid: Sequence[float], part: float = _HIGH, least: float = 0.0) -> Grid:
    """Return values of at most 1: the value that a part of all cells does not exceed.

    That value is taken to be ``least`` at least.
    """
    high = max(least, sorted(grid)[int(part * (len(grid) - 1))]) or max(grid)
    return [min(1.0, value / high) for value in grid] if high > 0 else list(grid)


def _barriers(look: Look) -> Grid:
    """Return the least span of levels on a way from the edge to each cell."""
    far = [0.0] * len(look.planes[0])
    for data, weight in zip(look.planes, (1.0, _CHROMA, _CHROMA), strict=True):
        smooth = grey_planes.blurred(grey_planes.plane(data, look.width)).tobytes()
        spans = _spans(smooth, look.width, look.height)
        far = [one + weight * span for one, span in zip(far, spans, strict=True)]
    return _scaled(far)


def _spans(plane: bytes, width: int, height: int) -> list[int]:
    """Sweep over the rows, forwards and backwards, from the two neighbours before."""
    inner = [
        row * width + x for row in range(1, height - 1) for x in range(1, width - 1)
    ]
    far = [0] * len(plane)
    for at in inner:
        far[at] = 256
    highest, lowest = list(plane), list(plane)
    for sweep in range(_SWEEPS):
        step = -1 if sweep % 2 == 0 else 1
        for at in inner if step < 0 else reversed(inner):
            level = plane[at]
            for other in (at + step, at + step * width):
                top, bottom = highest[other], lowest[other]
                top = max(top, level)
                bottom = min(bottom, level)
                if top - bottom < far[at]:
                    far[at], highest[at], lowest[at] = top - bottom, top, bottom
    return far


def _side_distances(look: Look) -> Grid:
    """Return how far each cell's colour is from those along the sides.

    The side that is farthest is left out: a subject may touch it.
    """
    width, height = look.width, look.height
    deep = max(2, min(width, height) // 9)
    boxes = (
        (0, 0, width, deep),
        (0, height - deep, width, height),
        (0, 0, deep, height),
        (width - deep, 0, width, height),
    )
    sides = []
    for box in boxes:
        tables = []
        for data in look.planes:
            part = grey_planes.plane(data, width).crop(box).tobytes()
            mean, deviation = grey_planes.moments(part)
            spread = deviation**2 + 30
            tables.append([(level - mean) ** 2 / spread for level in range(256)])
        y, u, v = tables
        colours = zip(*look.planes, strict=True)
        sides.append(_scaled([sqrt(y[a] + u[b] + v[c]) for a, b, c in colours], 1.0))
    return _scaled([sum(cell) - max(cell) for cell in zip(*sides, strict=True)])


def _edges(look: Look) -> Grid:
    """Return how much each cell differs from those to the right and below."""
    total = [0.0] * len(look.planes[0])
    for data, weight in zip(look.planes, (1.0, 1.5, 1.5), strict=True):
        plane = grey_planes.plane(data, look.width)
        steps = grey_planes.added(
            grey_planes.difference(plane, grey_planes.moved(plane, 1, 0)),
            grey_planes.difference(plane, grey_planes.moved(plane, 0, 1)),
        )
        smooth = grey_planes.blurred(grey_planes.blurred(steps)).tobytes()
        total = [one + weight * step for one, step in zip(total, smooth, strict=True)]
    return _scaled(total)


def _motion(look: Look) -> Grid:
    """Return how much each cell changes beyond what the whole picture does.

    What a subject has left differs from one of the frames near, where it is now from
    all. A frame that was on screen for long is there several times, and says nothing.
    """
    light = look.planes[0]
    here = grey_planes.plane(light, look.width)
    near = {data[: len(light)] for data in look.near} - {light}
    changes = [_change(here, grey_planes.plane(data, look.width)) for data in near]
    if not changes:
        return [0.0] * len(light)
    found = reduce(grey_planes.darker, changes)
    smooth = grey_planes.blurred(
        grey_planes.blurred(grey_planes.blurred(found))
    ).tobytes()
    return _scaled(smooth, least=_LEAST_MOTION)


def _change(here: Plane, other: Plane) -> Plane:
    """Return the difference to another frame, moved as the picture has.

    Of all small shifts, that is the one which leaves most of the picture the same. The
    picture has not moved if none is clearly better than none.
    """
    change = grey_planes.difference(here, other)
    least = _FOR_A_SHIFT * _low(change)
    for x, y in _SHIFTS:
        moved = grey_planes.difference(here, grey_planes.moved(other, x, y))
        if (left := _low(moved)) < least:
            least, change = left, moved
    usual = grey_planes.upper_quantile(change.histogram(), 0.25) + _STEADY
    return grey_planes.above(change, usual)


def _low(change: Plane) -> int:
    """Return the sum of the lowest two thirds: a subject's motion is not among them."""
    left, total = change.width * change.height * 2 // 3, 0
    for level, count in enumerate(change.histogram()):
        total += level * min(left, count)
        left -= min(left, count)
        if not left:
            break
    return total


def _middle(look: Look) -> Grid:
    """Return the weight of each cell by its place: subjects seldom touch an edge."""
    across, down = (
        [
            exp(-(((at + 0.5) / count - 0.5) ** 2) / (2 * _MIDDLE**2))
            for at in range(count)
        ]
        for count in (look.width, look.height)
    )
    return [x * y for y in down for x in across]


def _best(line: Sequence[float], share: float) -> float:
    """Return the middle of the stretch of that share that holds most of a line.

    What lies near the ends of the stretch counts less, and what its ends cut through
    counts against it.
    """
    total, count = sum(line), len(line)
    if share >= 1 or total <= 0:
        return 0.5
    half = share * count / 2
    tries = _TRIES * count
    middles = [half + (count - 2 * half) * k / tries for k in range(tries + 1)]

    def worth(middle: float) -> float:
        held = 0.0
        for at, value in enumerate(line):
            far = abs(at + 0.5 - middle)
            inside = min(1.0, half + 0.5 - far)
            if value and inside > 0:
                held += value * inside * (1 - _SOFT * min(1.0, far / half) ** 2)
        low, high = middle - half, middle + half
        cut = line[int(low)] if low > 0.5 else 0.0
        cut += line[min(count - 1, int(high))] if high < count - 0.5 else 0.0
        return (held - _CUT * cut) / total - _OFF_CENTRE * abs(middle / count - 0.5)

    return max(middles, key=worth) / count
