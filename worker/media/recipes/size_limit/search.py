"""Search for the best settings under which an animation fits into ``max_bytes``.

Nobody can compute how large a file becomes; it has to be encoded. Each trial costs an
encode, so there are at most six.

Frame rate, size, colours and quality could be combined in thousands of ways. The ladder
of a format reduces them to one line: step 0 is what was requested, and each further
step gives about a fifth fewer bytes. It says what that format gives up first: a GIF its
dither, AV1 its quality. A place between two steps mixes both. The ladders follow the
best SSIM for each size, measured over 120 (GIF) and 60 settings on three films with
much and with little motion.

So the search is for one number, the highest place that fits. It starts at 0. Bytes fall
roughly exponentially along the ladder, so each next place is read off a line through
the logarithms of the sizes seen so far, aiming at 97 % of the limit. The search ends
when a file fills at least 93 % of the limit, when the known places leave no room
between them, or after six trials.

:func:`search` is a generator that yields the place to try and is sent its size. It does
not encode anything itself, so a test can feed it any sizes.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

from common.errors import CannotFit

TRIALS = 6
# The rough factor of each step, used for the first guess only.
_STEP = math.log(0.8)
# Shares of the limit: what to aim at, and from where on a size is good enough.
_AIM = 0.97
_NEAR = 0.93
# Keep this share of the room as a distance from known places; stop below that room.
_MARGIN_SHARE = 0.12
_LEAST_ROOM = 0.04


@dataclass(frozen=True)
class LadderStep:
    """The settings of one place: shares of fps and size, colours (GIF) or quality.

    ``dithered`` says whether a GIF keeps the requested dither.
    """

    fps: float = 1.0
    size: float = 1.0
    colors: int = 256
    quality: int = 75
    dithered: bool = True


# Shares of the requested fps, size, and colours or quality.
_Shares = tuple[float, float, float]
# A GIF gives up its dither first, then all three together.
_GIF: tuple[_Shares, ...] = (
    (1.0, 1.0, 1.0),
    (0.93, 0.92, 0.97),
    (0.86, 0.86, 0.88),
    (0.78, 0.79, 0.78),
    (0.72, 0.73, 0.68),
    (0.67, 0.67, 0.58),
    (0.61, 0.62, 0.5),
    (0.56, 0.57, 0.47),
    (0.5, 0.53, 0.46),
    (0.44, 0.49, 0.45),
    (0.4, 0.45, 0.43),
    (0.36, 0.41, 0.4),
    (0.33, 0.37, 0.36),
    (0.31, 0.33, 0.31),
    (0.28, 0.29, 0.26),
    (0.25, 0.26, 0.2),
    (0.2, 0.22, 0.15),
    (0.18, 0.19, 0.1),
    (0.15, 0.16, 0.07),
    (0.13, 0.13, 0.04),
)
# Every frame of a WebP costs nearly as much as the first, so it gives up frames.
_WEBP: tuple[_Shares, ...] = (
    (1.0, 1.0, 1.0),
    (0.9, 0.97, 0.95),
    (0.8, 0.93, 0.92),
    (0.7, 0.9, 0.9),
    (0.6, 0.87, 0.9),
    (0.5, 0.84, 0.9),
    (0.43, 0.8, 0.88),
    (0.4, 0.75, 0.82),
    (0.4, 0.7, 0.75),
    (0.4, 0.64, 0.7),
    (0.4, 0.58, 0.64),
    (0.4, 0.52, 0.58),
    (0.38, 0.46, 0.5),
    (0.35, 0.4, 0.44),
    (0.32, 0.35, 0.37),
    (0.28, 0.3, 0.3),
    (0.24, 0.25, 0.22),
    (0.2, 0.2, 0.13),
    (0.15, 0.16, 0.05),
    (0.13, 0.13, 0.01),
)
# H.264 gives up quality until blocks would show, then frames and size.
_MP4: tuple[_Shares, ...] = (
    (1.0, 1.0, 1.0),
    (1.0, 1.0, 0.9),
    (1.0, 1.0, 0.81),
    (0.9, 1.0, 0.74),
    (0.8, 0.95, 0.7),
    (0.73, 0.9, 0.66),
    (0.67, 0.85, 0.62),
    (0.67, 0.78, 0.58),
    (0.6, 0.72, 0.54),
    (0.53, 0.65, 0.52),
    (0.47, 0.58, 0.5),
    (0.43, 0.51, 0.48),
    (0.4, 0.44, 0.46),
    (0.37, 0.38, 0.42),
    (0.33, 0.33, 0.36),
    (0.3, 0.29, 0.3),
    (0.25, 0.25, 0.22),
    (0.2, 0.21, 0.13),
    (0.15, 0.17, 0.05),
    (0.13, 0.13, 0.01),
)
# AV1 and VP9 look good at a low quality, so nearly all of it goes first.
_CODED: tuple[_Shares, ...] = (
    (1.0, 1.0, 1.0),
    (1.0, 1.0, 0.85),
    (1.0, 1.0, 0.72),
    (1.0, 1.0, 0.6),
    (1.0, 1.0, 0.48),
    (1.0, 1.0, 0.38),
    (1.0, 0.97, 0.3),
    (0.95, 0.93, 0.24),
    (0.87, 0.88, 0.2),
    (0.8, 0.84, 0.19),
    (0.72, 0.8, 0.18),
    (0.67, 0.74, 0.18),
    (0.58, 0.68, 0.17),
    (0.5, 0.62, 0.17),
    (0.45, 0.55, 0.16),
    (0.4, 0.48, 0.15),
    (0.35, 0.4, 0.13),
    (0.28, 0.3, 0.1),
    (0.2, 0.2, 0.05),
    (0.13, 0.13, 0.01),
)
_LADDERS = {"gif": _GIF, "webp": _WEBP, "mp4": _MP4}
LAST = float(len(_CODED) - 1)


def ladder_step(kind: str, place: float, colors: int, quality: int) -> LadderStep:
    """Return the settings of a place, 0 (as requested) to :data:`LAST`."""
    ladder = _LADDERS.get(kind, _CODED)
    step = min(int(place), len(ladder) - 2)
    part = place - step
    fps, size, rest = (
        round(high ** (1 - part) * low**part, 6)
        for high, low in zip(ladder[step], ladder[step + 1], strict=True)
    )
    return LadderStep(
        fps,
        size,
        max(2, round(colors * rest)) if kind == "gif" else colors,
        quality if kind == "gif" else max(1, round(quality * rest)),
        dithered=place == 0,
    )


def search(limit: int) -> Generator[float, int, None]:
    """Yield places to try, and receive their sizes in bytes.

    When it returns, at least one tried place was at most ``limit``. Raises CannotFit if
    none was.
    """
    sizes: dict[float, int] = {}
    place = 0.0
    while True:
        sizes[place] = yield place
        fits = [at for at, size in sizes.items() if size <= limit]
        if len(sizes) == TRIALS or _is_good(sizes, fits, limit):
            break
        place = _next(sizes, fits, limit)
    if not fits:
        smallest = min(sizes.values())
        raise CannotFit(
            f"the smallest of {len(sizes)} trials has {smallest} bytes; "
            f"max_bytes is {limit}",
            pointer="/max_bytes",
            hint="ask for a shorter clip or allow more bytes",
        )


def _is_good(sizes: dict[float, int], fits: list[float], limit: int) -> bool:
    if LAST in sizes and not fits:
        return True
    if not fits:
        return False
    best = min(fits)
    return (
        best == 0
        or sizes[best] >= _NEAR * limit
        or best - _above(sizes, best) < _LEAST_ROOM
    )


def _above(sizes: dict[float, int], best: float) -> float:
    """Return the next known place above one, which is too large."""
    return max(at for at in sizes if at < best)


def _next(sizes: dict[float, int], fits: list[float], limit: int) -> float:
    """Return the place whose size should be just under the limit."""
    if not fits:
        lowest = max(sizes)
        if len(sizes) == TRIALS - 1:
            return LAST
        # Too small a step would waste a trial, so steps grow with each one.
        guess = _guess(sizes, limit * _AIM ** len(sizes))
        return min(LAST, max(guess, lowest + 0.5 * len(sizes)))
    best = min(fits)
    above = _above(sizes, best)
    margin = min(_MARGIN_SHARE * (best - above), (best - above) / 2)
    guess = _between(sizes, above, best, limit)
    return min(best - margin, max(above + margin, guess))


def _between(sizes: dict[float, int], above: float, best: float, limit: int) -> float:
    """Return a place on the line between the last that is too large and the best.

    If two trials in turn fell to one side, the other end counts half. Otherwise it
    would never move if sizes do not fall evenly (the Illinois variant of regula falsi).
    """
    aim = math.log(limit * _AIM)
    high, low = math.log(sizes[above]) - aim, math.log(sizes[best]) - aim
    sides = [size <= limit for size in sizes.values()][-2:]
    if sides == [True, True]:
        high /= 2
    elif sides == [False, False]:
        low /= 2
    return above + (best - above) * high / (high - low)


def _guess(sizes: dict[float, int], wanted: float) -> float:
    """Return the place on the line through the two nearest known ones."""
    aim = math.log(wanted)
    known = sorted(sizes.items(), key=lambda item: abs(math.log(item[1]) - aim))
    (place, size), *others = known
    slope = _STEP
    if others:
        other, its_size = others[0]
        slope = min((math.log(its_size) - math.log(size)) / (other - place), _STEP / 4)
    return place + (aim - math.log(size)) / slope
