"""Encode moving outputs: what animations, previews and snippets share."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import ffmpeg

from worker.media.ffmpeg.clip import argv
from worker.media.ffmpeg.plan import Done, Made, Step
from worker.media.recipes.shared import cost, encoders, gif
from worker.media.recipes.shared.picture import Box

DEFAULT_WIDTH = 320
# "reverse" holds every frame; four bytes a pixel.
REVERSE_BYTES = 320 * 1024 * 1024
_LEAST_FPS = 0.25
# The most bytes of frames that wait for a GIF's palette, and of pixels it is made from.
_HELD_BYTES = 128 * 1024 * 1024
_PALETTE_PIXELS = 60_000_000
_PALETTE = "palette.png"


class Style(Protocol):
    """The fields of a spec that say how its animation is written."""

    @property
    def format(self) -> Literal["gif", "webp", "avif", "mp4", "webm"]:
        """Return the file's format."""

    @property
    def loop(self) -> int:
        """Return how often it plays; 0 loops endlessly."""

    @property
    def dither(self) -> str:
        """Return the dither of a GIF."""

    @property
    def bayer_scale(self) -> int:
        """Return the strength of Bayer dither, 0 the strongest."""

    @property
    def palette(self) -> str:
        """Return what a GIF's palette gives weight to."""


class Optimized(Style, Protocol):
    """A style that may ask for gifsicle."""

    @property
    def optimize(self) -> bool:
        """Return True if gifsicle is asked for."""

    @property
    def max_bytes(self) -> int | None:
        """Return the most bytes that the file may have."""


def optimizes(style: Optimized) -> bool:
    """Return True if gifsicle is to optimize the file.

    Never under ``max_bytes``, whose search has compared the file as it is.
    """
    return style.optimize and style.format == "gif" and style.max_bytes is None


@dataclass(frozen=True)
class Rendition:
    """Size, rate, colours (GIF) and quality (all others) of an animation.

    A GIF's palette is made from every ``palette_every``-th frame. ``has_alpha`` says
    that the frames have transparency.
    """

    box: Box
    fps: float
    colors: int = 256
    quality: int = 75
    palette_every: int = gif.EVERY
    has_alpha: bool = False


def file_name(stem: str, kind: str) -> str:
    """Return the name of a file in that format."""
    return f"{stem}.{encoders.extension(kind)}"


@dataclass(frozen=True)
class Timing:
    """How many seconds of media a run reads, and how long the animation plays.

    ``tolerant`` is as in :class:`Step`.
    """

    read: float
    plays: float
    tolerant: bool = False


@dataclass(frozen=True)
class SideOutput:
    """A second output, on standard output, of at most ``capture`` bytes."""

    output: Any
    capture: int


def beside(view: SideOutput | None) -> tuple[tuple[Any, ...], int]:
    """Return a view's output for ``argv``, and the bytes to capture."""
    return ((view.output,), view.capture) if view is not None else ((), 0)


def encode(  # noqa: PLR0913 - what is encoded, and how
    frames: Any,
    file: str,
    style: Style,
    rendition: Rendition,
    timing: Timing,
    threads: int,
    *,
    dither: str | None = None,
    view: SideOutput | None = None,
) -> Generator[Step, Done, Done]:
    """Encode drawn frames into ``file``; ``dither`` replaces the style's.

    The same run writes ``view``; its bytes are in the result.

    The frames of a GIF wait in memory until its palette is made. If that would be too
    much, they are drawn twice: for the palette, then for the GIF. The deadline follows
    what is read or what the encoder costs, whichever is more.
    """
    dither = dither or style.dither
    pixels = rendition.box.width * rendition.box.height * rendition.fps * timing.plays
    seconds = max(timing.read, cost.seconds(style.format, pixels))
    if style.format == "gif" and 4 * pixels > _HELD_BYTES:
        words = _palette_words(frames, style, rendition, pixels)
        done = yield Step(words, seconds, tolerant=timing.tolerant)
        if _PALETTE not in done.files:
            return done
        colours = ffmpeg.input(f"file:{_PALETTE}", f="png_pipe")["v"]
        frames = gif.dithered(frames, colours, dither, style.bayer_scale)
    elif style.format == "gif":
        frames = gif.palette(
            frames,
            colors=rendition.colors,
            dither=dither,
            bayer_scale=style.bayer_scale,
            stats=style.palette,
            every=rendition.palette_every,
        )
    if style.format == "webp" and not rendition.has_alpha:
        frames = frames.filter("format", encoders.WEBP_PIXELS)
    options = _options(style, rendition, threads)
    streams = encoders.streams(frames, style.format, has_alpha=rendition.has_alpha)
    others, capture = beside(view)
    words = argv(ffmpeg.output(*streams, file, **options), *others)
    return (yield Step(words, seconds, capture, tolerant=timing.tolerant))


def _options(style: Style, rendition: Rendition, threads: int) -> dict[str, Any]:
    return encoders.moving(
        style.format,
        rendition.quality,
        loop=style.loop,
        width=rendition.box.width,
        height=rendition.box.height,
        fps=rendition.fps,
        has_alpha=rendition.has_alpha,
        threads=threads,
    )


def _palette_words(
    frames: Any, style: Style, rendition: Rendition, pixels: float
) -> tuple[str, ...]:
    every = max(rendition.palette_every, math.ceil(pixels / _PALETTE_PIXELS))
    colours = gif.table(
        frames, colors=rendition.colors, stats=style.palette, every=every
    )
    options = {"frames:v": 1, "update": 1, "f": "image2", "c:v": "png"}
    return argv(ffmpeg.output(colours, _PALETTE, **options))


def made(
    file: str,
    name: str,
    kind: str,
    rendition: Rendition,
    time: float | None,
    details: Mapping[str, Any],
) -> Made:
    """Return the description of a file of that rendition."""
    box = rendition.box
    content_type = encoders.CONTENT_TYPES[kind]
    return Made(
        file, name, content_type, box.width, box.height, time=time, details=details
    )


def boomerang(frames: Any) -> Any:
    """Play forwards and backwards; the turning frame is shown once."""
    both = frames.filter_multi_output("split")
    back = both[1].filter("reverse").filter("trim", start_frame=1)
    back = back.filter("setpts", "PTS-STARTPTS")
    return ffmpeg.concat(both[0], back)


def fps_within_memory(fps: float, box: Box, seconds: float) -> float:
    """Return the frame rate at which all frames of a boomerang fit into memory."""
    most = REVERSE_BYTES / (box.width * box.height * 4) / max(seconds, 0.1)
    return fps if fps <= most else max(_LEAST_FPS, round(most, 2))
