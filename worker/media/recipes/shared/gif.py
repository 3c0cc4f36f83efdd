"""Choose palette and dither of GIFs, cheaper and smaller than FFmpeg's usual pair.

Half of a GIF's cost is ``palettegen`` over every pixel of every frame. A palette from
every fourth pixel of every fifth frame is as good. Bayer dither of scale 5, limited to
changed rectangles, hides the steps of a gradient and compresses better than error
diffusion (figures: docs/explanation/media.md).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import ffmpeg

from common.errors import DecodeError
from worker.media.ffmpeg.plan import Done, Made, Step, StepRun

EVERY = 5
_ALPHA = 48
_FEWEST = 2
# Up to this width all pixels are few enough.
_SMALL = 128
_NEARLY_WHITE = 253
_LOSSY = 60
_OPTIMIZE_SECONDS = 30.0


def table(stream: Any, *, colors: int, stats: str, every: int) -> Any:
    """Return a palette made from every ``every``-th frame of a ``bgra`` stream."""
    sample = stream.filter("select", f"not(mod(n,{every}))") if every > 1 else stream
    # Pixels are left out, not averaged or rounded: a plain colour stays as it is.
    halves = (f"if(gt(iw,{_SMALL}),ceil({side}/2),{side})" for side in ("iw", "ih"))
    sample = sample.filter("scale", *halves, flags="neighbor")
    words: dict[str, Any] = {"max_colors": colors, "stats_mode": stats}
    if colors == _FEWEST:
        # palettegen refuses to reserve one of two colours for transparency.
        words["reserve_transparent"] = 0
    found = sample.filter("palettegen", **words)
    # Bayer dither would mix white with a colour next to it.
    white = f"if(gte(val,{_NEARLY_WHITE}),255,val)"
    return found.filter("lutrgb", r=white, g=white, b=white)


def palette(
    stream: Any,
    *,
    colors: int = 256,
    dither: str = "bayer",
    bayer_scale: int = 5,
    stats: str = "full",
    every: int = EVERY,
) -> Any:
    """Reduce a ``bgra`` stream to one palette made from every ``every``-th frame.

    All frames wait in memory until the palette is made.
    """
    both = stream.filter_multi_output("split")
    colours = table(both[0], colors=colors, stats=stats, every=every)
    return dithered(both[1], colours, dither, bayer_scale)


def dithered(stream: Any, colours: Any, dither: str, bayer_scale: int) -> Any:
    """Reduce a ``bgra`` stream to the palette ``colours``."""
    # Show half-transparent pixels rather than lose them: a GIF has no partial alpha.
    words: dict[str, Any] = {
        "dither": dither,
        "diff_mode": "rectangle",
        "alpha_threshold": _ALPHA,
    }
    if dither == "bayer":
        words["bayer_scale"] = bayer_scale
    return ffmpeg.filter([stream, colours], "paletteuse", **words)


def need_optimizer() -> Generator[Step, Done, None]:
    """Raise DecodeError if gifsicle is not installed."""
    done = yield Step(("--version",), 1.0, 256, tolerant=True, program="gifsicle")
    if done.returncode != 0:
        raise DecodeError("gifsicle is not installed")


def optimized(make: Callable[[], StepRun]) -> StepRun:
    """Make a GIF, then run gifsicle over it; fail if gifsicle is not installed."""
    yield from need_optimizer()
    made = yield from make()
    return [(yield from optimize(made[0]))]


def optimize(made: Made) -> Generator[Step, Done, Made]:
    """Write the file again with gifsicle, lossy; keep whichever is smaller."""
    small = "optimized.gif"
    words = ("-O3", f"--lossy={_LOSSY}", "--no-comments", made.file, "-o", small)
    done = yield Step(words, _OPTIMIZE_SECONDS, tolerant=True, program="gifsicle")
    if small not in done.files:
        return made
    if done.files[small].bytes >= done.files[made.file].bytes:
        return made
    details = {**made.details, "optimized": True}
    return replace(made, file=small, details=details)
