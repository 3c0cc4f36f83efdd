"""What it costs to encode a moving picture, and the rate that can be borne.

Figures are CPU seconds of one core for a pixel of noise, the dearest there is: other
films take less.
"""

from __future__ import annotations

from worker.media.recipes.picture import Box

_SECONDS_A_PIXEL = {
    "gif": 1e-7,
    "webp": 3e-7,
    "avif": 1e-7,
    "mp4": 5e-8,
    "webm": 7.5e-7,
}
# A quarter of the hour after which a task is ended: a core may be shared.
_MOST_SECONDS = 900.0
# Lossless frames on disk; a pixel takes about 2 bytes of FFV1.
STORED_PIXELS = 700_000_000
_LEAST_FPS = 0.25


def seconds(kind: str, pixels: float) -> float:
    """Return the CPU seconds that encoding so many pixels in a format may take."""
    return pixels * _SECONDS_A_PIXEL[kind]


def rate(
    fps: float, kind: str, box: Box, plays: float, *, stored: bool = False
) -> float:
    """Return the asked rate, or the highest that a task can encode; frames a second.

    ``plays`` is in seconds. ``stored`` says that the frames are kept without a loss
    first, as a search under ``max_bytes`` does.
    """
    most = _MOST_SECONDS / _SECONDS_A_PIXEL[kind]
    if stored:
        most = min(most, STORED_PIXELS)
    bearable = most / (box.width * box.height) / max(plays, 0.1)
    return fps if fps <= bearable else max(_LEAST_FPS, round(bearable, 2))
