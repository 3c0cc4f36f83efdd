"""Estimate what encoding costs, and the frame rate that a task can afford.

Figures are CPU seconds of one core per pixel of coloured noise, the most expensive
content: other films take less.
"""

from __future__ import annotations

import math

from worker.media.recipes.shared.picture import Box

_SECONDS_A_PIXEL = {
    "gif": 1.2e-6,
    "webp": 4e-7,
    "avif": 1.5e-7,
    "mp4": 1.5e-7,
    "webm": 7.5e-7,
}
_SECONDS_A_STILL_PIXEL = {"jpeg": 1e-7, "png": 5e-7, "webp": 5e-7, "avif": 3e-6}
# FFmpeg 9.0.2's JPEG encoder takes room for the worst picture, and writes to little of
# it: 19.6 bytes a pixel with 4:2:0 (VmData less VmRSS at 7680x4704), the others 2.
_RESERVED_A_STILL_PIXEL = {"jpeg": 20, "png": 2, "webp": 2, "avif": 2}
# Half of the hour after which a task is stopped: a core may be shared.
MOST_SECONDS = 1800.0
# The most pixels of lossless frames on disk; one takes about 2 bytes as FFV1.
STORED_PIXELS = 700_000_000
_LEAST_FPS = 0.25


def seconds(kind: str, pixels: float) -> float:
    """Return the CPU seconds that encoding so many pixels in a format may take."""
    return pixels * _SECONDS_A_PIXEL[kind]


def still(kind: str, pixels: float) -> float:
    """Return the CPU seconds that one still of so many pixels may take."""
    return pixels * _SECONDS_A_STILL_PIXEL[kind]


def reserved(kind: str, pixels: float) -> int:
    """Return the bytes that the encoder of a still allocates without using them."""
    return math.ceil(pixels * _RESERVED_A_STILL_PIXEL[kind])


def most_pixels(kind: str) -> float:
    """Return how many pixels a task can encode in a format, all frames together."""
    return MOST_SECONDS / _SECONDS_A_PIXEL[kind]


def rate(
    fps: float, kind: str, box: Box, plays: float, *, stored: bool = False
) -> float:
    """Return the requested rate, or the highest that a task can encode, in fps.

    ``plays`` is in seconds. ``stored`` means that the frames are first stored lossless,
    as a search under ``max_bytes`` does.
    """
    most = most_pixels(kind)
    if stored:
        most = min(most, STORED_PIXELS)
    bearable = most / (box.width * box.height) / max(plays, 0.1)
    return fps if fps <= bearable else max(_LEAST_FPS, round(bearable, 2))
