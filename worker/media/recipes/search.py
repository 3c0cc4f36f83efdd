"""Find settings under which an animation stays below ``max_bytes``.

The settings form a ladder from what was asked to very small, each step about a
fifth smaller than the one before. The search looks for the highest step that fits:
it guesses from the sizes seen so far (a line through their logarithms) and never
tries more than six. :func:`search` is a generator that yields the step to try and
is sent its size.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

from common.errors import CannotFit

TRIALS = 6
# What each step multiplies the size by, roughly; only the first guess needs it.
_STEP = math.log(0.8)


@dataclass(frozen=True)
class Settings:
    """One step: shares of the asked fps and size, colours (gif) or quality."""

    fps: float = 1.0
    size: float = 1.0
    colors: int = 256
    quality: int = 75


# GIF gives up colours first, then frames, then size: that keeps the SSIM longest.
_GIF = (
    (1.0, 1.0, 256),
    (1.0, 1.0, 128),
    (0.8, 1.0, 128),
    (0.8, 0.9, 96),
    (0.67, 0.9, 96),
    (0.67, 0.8, 96),
    (0.67, 0.72, 64),
    (0.6, 0.65, 64),
    (0.53, 0.6, 64),
    (0.53, 0.53, 64),
    (0.47, 0.48, 48),
    (0.4, 0.45, 48),
    (0.4, 0.4, 48),
    (0.35, 0.36, 40),
    (0.33, 0.33, 32),
    (0.33, 0.29, 32),
    (0.27, 0.27, 32),
    (0.27, 0.24, 24),
    (0.2, 0.22, 24),
    (0.2, 0.18, 16),
    (0.15, 0.16, 16),
    (0.13, 0.13, 8),
)
# The others give up quality first; their frames cost little.
_CODED = (
    (1.0, 1.0, 1.0),
    (1.0, 1.0, 0.9),
    (1.0, 1.0, 0.8),
    (1.0, 1.0, 0.7),
    (1.0, 1.0, 0.6),
    (1.0, 0.95, 0.55),
    (0.8, 0.9, 0.55),
    (0.8, 0.8, 0.5),
    (0.67, 0.75, 0.5),
    (0.67, 0.7, 0.45),
    (0.67, 0.62, 0.4),
    (0.53, 0.58, 0.4),
    (0.53, 0.52, 0.35),
    (0.53, 0.47, 0.3),
    (0.4, 0.42, 0.3),
    (0.4, 0.38, 0.25),
    (0.33, 0.34, 0.2),
    (0.27, 0.3, 0.2),
    (0.2, 0.25, 0.15),
    (0.2, 0.2, 0.1),
    (0.15, 0.16, 0.05),
    (0.13, 0.13, 0.02),
)


def ladder(kind: str, colors: int, quality: int) -> list[Settings]:
    """Give the steps for a format, the asked settings first."""
    if kind == "gif":
        return [
            Settings(fps, size, max(2, min(colors, most)), quality)
            for fps, size, most in _GIF
        ]
    return [
        Settings(fps, size, colors, max(1, round(quality * share)))
        for fps, size, share in _CODED
    ]


def search(steps: int, limit: int) -> Generator[int, int, None]:
    """Yield steps to try, be sent their sizes in bytes; raises CannotFit.

    When it returns, at least one tried step was at most ``limit``.
    """
    sizes: dict[int, int] = {}
    place = 0
    while True:
        sizes[place] = yield place
        fits = [step for step, size in sizes.items() if size <= limit]
        if 0 in fits or len(sizes) == TRIALS:
            break
        best = min(fits, default=steps)
        worst = max((step for step in sizes if step < best), default=-1)
        if best - worst <= 1:
            break
        if best == steps and len(sizes) == TRIALS - 1:
            place = steps - 1
        else:
            place = min(best - 1, max(worst + 1, _guess(sizes, limit)))
    if not fits:
        smallest = min(sizes.values())
        raise CannotFit(
            f"the smallest of {len(sizes)} trials has {smallest} bytes; "
            f"max_bytes is {limit}",
            pointer="/max_bytes",
            hint="ask for a shorter clip or allow more bytes",
        )


def _guess(sizes: dict[int, int], limit: int) -> int:
    """Give the step whose size should be just under the limit."""
    wanted = math.log(limit * 0.96)
    known = sorted(sizes.items())
    near = min(known, key=lambda item: abs(math.log(item[1]) - wanted))
    others = [item for item in known if item[0] != near[0]]
    slope = _STEP
    if others:
        other = min(others, key=lambda item: abs(math.log(item[1]) - wanted))
        rise = (math.log(other[1]) - math.log(near[1])) / (other[0] - near[0])
        slope = min(rise, _STEP / 4)
    return math.ceil(near[0] + (wanted - math.log(near[1])) / slope)
