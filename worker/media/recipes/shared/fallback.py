"""Draw what an output shows without a frame: artwork, a waveform, an icon.

:func:`plan` goes through a spec's ``fallback`` list. The pictures are drawn here; each
kind of output turns them into its own files (:data:`Show`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import ffmpeg

from common.errors import CannotFit, DecodeError, NoVideoStream, SeekPastEnd
from common.outputs.specs import MAX_SIDE, Fallback, Fit, Gravity, Placeholder
from worker.media import warning_codes
from worker.media.ffmpeg.clip import (
    CENTER,
    Clip,
    argv,
    input_options,
    no_video,
    number,
)
from worker.media.ffmpeg.plan import Alternative, Done, Made, Plan, Step, StepRun
from worker.media.recipes.shared import (
    cost,
    encoders,
    moving,
    picture,
    placeholder,
    variants,
)
from worker.media.recipes.shared.variants import Variant

_AUDIO_SECONDS = 3600.0
_SHAPE = 9 / 16
_TALLEST = 2
_BACKGROUND = "#202428"
_FOREGROUND = "#9fb4c7"
_SECONDS = 10.0
# Leave a margin: a waveform filled to the edges would be a flat picture.
_WAVE_SHARE = 0.88
_VIDEO_FORMATS = ("mp4", "webm")


@dataclass(frozen=True)
class Canvas:
    """The requested size and format of a fallback picture; sides may be open.

    ``variants`` are the files of a still, ``focus`` the point that cover keeps,
    ``placeholder`` what describes the still to a page that waits for it.
    """

    format: picture.Format
    width: int | None
    height: int | None = None
    fit: Fit = "contain"
    background: str | None = None
    enlarge: bool = False
    variants: tuple[Variant, ...] = ()
    focus: tuple[float, float] = CENTER
    placeholder: Placeholder = "thumbhash"

    @property
    def size(self) -> tuple[int, int]:
        """Return the size of a drawn picture: as requested, 16:9 if a side is open."""
        width = self.width
        if width is None and self.height is not None:
            width = min(MAX_SIDE, round(self.height / _SHAPE))
        width = width or encoders.STILL_WIDTH
        height = self.height or max(1, round(width * _SHAPE))
        if picture.is_even(self.format):
            return max(2, width // 2 * 2), max(2, height // 2 * 2)
        return width, height

    @property
    def most_pixels(self) -> int:
        """Return how many pixels a picture on it may have."""
        width = self.size[0]
        return width * (self.height or min(MAX_SIDE, _TALLEST * width))

    @property
    def ground(self) -> str:
        """Return the colour behind what is drawn."""
        return picture.colour_word(self.background or _BACKGROUND)


# Turns the drawn picture into the files of an output.
Show = Callable[[Any], StepRun]


def plan(
    fallback: Sequence[Fallback],
    clip: Clip,
    frames: Callable[[], Plan],
    canvas: Canvas,
    show: Show,
) -> Plan:
    """Return the alternatives of all entries of ``fallback``, in its order.

    ``frames`` returns those that show the video. If it raises SeekPastEnd, the
    alternative "frame" fails with that error and the next entry is shown. Raises what
    :func:`~worker.media.ffmpeg.clip.no_video` returns if nothing is left.
    """
    alternatives: list[Alternative] = []
    for entry in fallback:
        if entry != "frame":
            alternatives += _alternatives(entry, clip, canvas, show)
        elif clip.media.video is not None:
            alternatives += _of_video(frames)
    if not alternatives:
        if clip.media.video is None:
            raise no_video(clip.media)
        raise NoVideoStream(
            "the file has nothing that fallback lists",
            hint='"fallback" can also list "frame", "waveform" and "icon"',
        )
    return Plan(tuple(alternatives))


def _of_video(frames: Callable[[], Plan]) -> list[Alternative]:
    try:
        found = frames()
    except SeekPastEnd as error:
        return [Alternative("frame", partial(_refuse, error))]
    return [
        replace(alternative, warnings=(*found.warnings, *alternative.warnings))
        for alternative in found.alternatives
    ]


def _refuse(error: SeekPastEnd) -> StepRun:
    yield from ()
    raise error


def _alternatives(
    entry: str, clip: Clip, canvas: Canvas, show: Show
) -> list[Alternative]:
    """Return the alternatives of one entry; none if the clip lacks it."""
    media = clip.media
    if entry == "artwork":
        note = (warning_codes.ARTWORK_SHOWN,)
        return [
            Alternative(
                "artwork", partial(_shown, show, _artwork, clip, canvas, index), note
            )
            for index in media.artwork
        ]
    if entry == "icon":
        run = partial(_shown, show, _icon, clip, canvas, 0)
        return [Alternative("icon", run, (warning_codes.ICON_SHOWN,))]
    if media.audio is None:
        return []
    run = partial(_shown, show, _waveform, clip, canvas, media.audio.index)
    return [Alternative("waveform", run, (warning_codes.WAVEFORM_SHOWN,))]


def _shown(
    show: Show,
    draw: Callable[[Clip, Canvas, int], Any],
    clip: Clip,
    canvas: Canvas,
    stream: int,
) -> StepRun:
    return (yield from show(draw(clip, canvas, stream)))


class StillFields(variants.StillFields, Protocol):
    """The fields of a spec of stills that a fallback picture needs."""

    @property
    def gravity(self) -> Gravity:
        """Return what ``fit`` cover keeps."""

    @property
    def background(self) -> str | None:
        """Return the colour behind transparency."""

    @property
    def placeholder(self) -> Placeholder:
        """Return what describes the picture to a page that waits for it."""


def still_canvas(spec: StillFields) -> Canvas:
    """Return the canvas of stills: that of the largest."""
    size = variants.largest(spec)
    return Canvas(
        spec.format,
        size.width,
        size.height,
        size.fit,
        spec.background,
        spec.enlarge,
        variants.scaled(spec),
        picture.focus(spec.gravity),
        spec.placeholder,
    )


def stills(
    drawn: Any, stem: str, canvas: Canvas, quality: int, threads: int
) -> StepRun:
    """Write the picture to the files of a still, with a placeholder as for any."""
    most, files = canvas.most_pixels, canvas.variants
    both = drawn.filter_multi_output("split")
    tiny = picture.scale(
        both[1],
        placeholder.SMALL,
        placeholder.SMALL,
        force_original_aspect_ratio="decrease",
        kernel="area",
    )
    raw = {"f": "rawvideo", "frames:v": 1, "fps_mode": "passthrough"}
    words = argv(
        *variants.copies(both[0], files, stem, quality, threads=threads, pixels=most),
        ffmpeg.output(tiny.filter("format", "rgba"), "pipe:1", **raw),
    )
    capture = 4 * placeholder.SMALL**2
    silent = sum(cost.still(one.format, most) for one in files)
    reserved = sum(cost.reserved(one.format, most) for one in files)
    done = yield Step(words, _SECONDS, capture, silent, reserved)
    return [_described(one, stem, done, canvas.placeholder) for one in files]


def _described(variant: Variant, stem: str, done: Done, kind: Placeholder) -> Made:
    file = variant.file(stem)
    if file not in done.files:
        raise DecodeError("the fallback picture could not be made")
    facts = done.files[file]
    # One side of the small copy is SMALL; the other follows from the byte count.
    other = len(done.stdout) // (4 * placeholder.SMALL)
    tall = (facts.height or 0) > (facts.width or 0)
    size = (other, placeholder.SMALL) if tall else (placeholder.SMALL, other)
    details = placeholder.describe(done.stdout, *size, kind) if other else {}
    content_type = encoders.CONTENT_TYPES[variant.format]
    made = Made(file, file, content_type, facts.width, facts.height, details=details)
    return replace(made, bytes=facts.bytes)


class AnimationFields(moving.Style, picture.SizeFields, Protocol):
    """The fields of an animation spec that a fallback picture needs."""

    @property
    def gravity(self) -> Gravity:
        """Return what ``fit`` cover keeps."""

    @property
    def background(self) -> str | None:
        """Return the colour behind transparency."""

    @property
    def colors(self) -> int:
        """Return the number of colours of a GIF."""

    @property
    def quality(self) -> int:
        """Return the quality of all other formats, 1 to 100."""

    @property
    def fps(self) -> float:
        """Return the frames per second of a clip."""

    @property
    def max_bytes(self) -> int | None:
        """Return the most bytes that the file may have."""


def animation_canvas(spec: AnimationFields) -> Canvas:
    """Return the canvas of an animation."""
    width, height = spec.width, spec.height
    if width is None and height is None:
        width = moving.DEFAULT_WIDTH
    return Canvas(
        spec.format,
        width,
        height,
        spec.fit,
        spec.background,
        spec.enlarge,
        focus=picture.focus(spec.gravity),
    )


def still_animation(
    drawn: Any, stem: str, spec: AnimationFields, seconds: float, threads: int
) -> StepRun:
    """Write the picture as an animation: one frame, or a clip that stands still.

    Raises CannotFit if it is over ``max_bytes``.
    """
    drawn = picture.formatted(drawn, spec.format)
    if spec.format in _VIDEO_FORMATS:
        count = max(2, round(seconds * spec.fps))
        drawn = drawn.filter("loop", loop=count - 1, size=1)
        # A drawn picture's clock counts seconds: shorter clips would have no frame.
        drawn = drawn.filter("settb", "AVTB")
        drawn = drawn.filter("setpts", f"N/{number(spec.fps)}/TB")
        drawn = drawn.filter("fps", number(spec.fps))
    file = moving.file_name(stem, spec.format)
    # The size of artwork is unknown; 1 selects encoders that accept any size.
    box = picture.Box((1, 1), 1, 1)
    rendition = moving.Rendition(
        box, spec.fps, spec.colors, spec.quality, palette_every=1
    )
    timing = moving.Timing(_SECONDS, 0.0)
    done = yield from moving.encode(drawn, file, spec, rendition, timing, threads)
    if file not in done.files:
        raise DecodeError("the fallback picture could not be made")
    size = done.files[file].bytes
    if spec.max_bytes is not None and size > spec.max_bytes:
        raise CannotFit(
            f"the fallback picture has {size} bytes; max_bytes is {spec.max_bytes}",
            pointer="/max_bytes",
            hint="allow more bytes or ask for a smaller picture",
        )
    return [Made(file, file, encoders.CONTENT_TYPES[spec.format])]


def _artwork(clip: Clip, canvas: Canvas, index: int) -> Any:
    """Draw the embedded picture by the spec's fit; enlarge it only if asked."""
    words = input_options(clip) | {"max_pixels": clip.pixels}
    art = ffmpeg.input(f"file:{clip.path}", **words)[str(index)]
    art = art.filter("trim", end_frame=1).filter("format", "rgba")
    art = picture.flatten(art, canvas.background or "#000000")
    even = 2 if picture.is_even(canvas.format) else 1
    if canvas.width is None or canvas.height is None:
        width = canvas.width or canvas.height or encoders.STILL_WIDTH
        height = canvas.height or min(MAX_SIDE, _TALLEST * width)
        return _inside(art, width, height, canvas, even)
    width, height = canvas.size
    if canvas.fit == "cover":
        sides: tuple[str, ...] = (
            f"min(iw,ih*{width}/{height})",
            f"min(ih,iw*{height}/{width})",
        )
        if canvas.focus != CENTER:
            x, y = canvas.focus
            sides += (f"clip(iw*{x}-ow/2,0,iw-ow)", f"clip(ih*{y}-oh/2,0,ih-oh)")
        art = art.filter("crop", *sides)
    if canvas.fit == "stretch":
        share = "1" if canvas.enlarge else f"min(1,min(iw/{width},ih/{height}))"
        sides = (f"trunc({width}*{share}/{even})", f"trunc({height}*{share}/{even})")
        return picture.scale(art, *(f"max(1,{side})*{even}" for side in sides))
    art = _inside(art, width, height, canvas, even)
    if canvas.fit != "pad":
        return art
    return art.filter(
        "pad", width, height, "(ow-iw)/2", "(oh-ih)/2", color=canvas.ground
    )


def _inside(art: Any, width: int, height: int, canvas: Canvas, even: int) -> Any:
    """Scale into a box and keep the shape."""
    sides = (f"min(iw,{width})", f"min(ih,{height})")
    if canvas.enlarge:
        sides = (str(width), str(height))
    return picture.scale(
        art,
        *sides,
        force_original_aspect_ratio="decrease",
        force_divisible_by=even,
    )


def _waveform(clip: Clip, canvas: Canvas, index: int) -> Any:
    width, height = canvas.size
    words = input_options(clip, decode=False) | {"t": _AUDIO_SECONDS}
    audio = ffmpeg.input(f"file:{clip.path}", **words)[str(index)]
    foreground = picture.colour_word(_FOREGROUND)
    # Square-root scale, so that quiet sound is more than a line.
    size = f"{width}x{max(1, round(height * _WAVE_SHARE))}"
    wave = audio.filter("aformat", channel_layouts="mono").filter(
        "showwavespic", s=size, colors=foreground, filter="peak", scale="sqrt"
    )
    line = max(1, height // 180)
    ground = _blank(canvas).filter(
        "drawbox", 0, f"(ih-{line})/2", "iw", line, color=foreground, t="fill"
    )
    return ffmpeg.overlay(ground, wave, y="(H-h)/2", format="rgb")


def _blank(canvas: Canvas) -> Any:
    width, height = canvas.size
    graph = f"color=c={canvas.ground}:s={width}x{height}:d=1:r=1"
    return ffmpeg.input(graph, f="lavfi")


def _icon(_clip: Clip, canvas: Canvas, _index: int) -> Any:
    """Draw a film frame with a sound bar: clearly a symbol, not a picture."""
    foreground = picture.colour_word(_FOREGROUND)
    line = max(1, min(canvas.size) // 40)
    drawn = _blank(canvas)
    drawn = drawn.filter(
        "drawbox", "iw/4", "ih/4", "iw/2", "ih/2", color=foreground, t=line
    )
    for place, tall in enumerate((0.1, 0.22, 0.32, 0.18, 0.26, 0.12)):
        drawn = drawn.filter(
            "drawbox",
            f"iw*{0.31 + 0.066 * place:.3f}",
            f"ih*{0.5 - tall / 2:.3f}",
            "iw*0.04",
            f"ih*{tall}",
            color=foreground,
            t="fill",
        )
    return drawn
