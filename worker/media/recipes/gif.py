"""Palette and dither of GIFs, cheaper and smaller than the standard filter pair.

Half of a GIF's cost is ``palettegen`` over every pixel of every frame. A palette
of every fifth frame is as good, and Bayer dither of scale 5 with changed rectangles
only compresses better than error diffusion (figures: docs/explanation/gif.md).
"""

from __future__ import annotations

from typing import Any

import ffmpeg

_EVERY = 5


def palette(
    stream: Any,
    *,
    colors: int = 256,
    dither: str = "bayer",
    bayer_scale: int = 5,
    stats: str = "full",
    every: int = _EVERY,
) -> Any:
    """Reduce a ``bgra`` stream to one palette made from every ``every``-th frame."""
    both = stream.filter_multi_output("split")
    sample = both[0].filter("select", f"not(mod(n,{every}))") if every > 1 else both[0]
    table = sample.filter("palettegen", max_colors=colors, stats_mode=stats)
    words: dict[str, Any] = {"dither": dither, "diff_mode": "rectangle"}
    if dither == "bayer":
        words["bayer_scale"] = bayer_scale
    return ffmpeg.filter([both[1], table], "paletteuse", **words)
