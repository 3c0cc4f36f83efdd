"""What a thumbnail shows when there is no frame: artwork, a waveform, an icon."""

from __future__ import annotations

from functools import partial
from typing import Any

import ffmpeg

from common.errors import DecodeError
from common.specs import ThumbnailSpec
from worker.media.recipes import encode, picture
from worker.media.recipes import warnings as codes
from worker.media.recipes.plan import Made, Rung, RungRun, Step
from worker.media.recipes.source import Clip, argv, input_options

_AUDIO_SECONDS = 3600.0
_SHAPE = 9 / 16
_PAPER = "#202428"
_PEN = "#9fb4c7"
_ART_SECONDS = 10.0


def rungs(way: str, spec: ThumbnailSpec, clip: Clip) -> list[Rung]:
    """Give the rungs of one entry of ``fallback``; none when the clip lacks it."""
    media = clip.media
    if way == "artwork":
        note = (codes.ARTWORK_SHOWN,)
        return [
            Rung("artwork", partial(_artwork, spec, clip, index), note)
            for index in media.artwork
        ]
    if way == "waveform":
        if media.audio is None:
            return []
        run = partial(_waveform, spec, clip, media.audio.index)
        return [Rung("waveform", run, (codes.WAVEFORM_SHOWN,))]
    return [Rung("icon", partial(_icon, spec, clip), (codes.ICON_SHOWN,))]


def _size(spec: ThumbnailSpec) -> tuple[int, int]:
    """Give the size of a drawn picture: as asked, 16:9 where a side is open."""
    if spec.width is None and spec.height is not None:
        return round(spec.height / _SHAPE), spec.height
    width = spec.width or encode.STILL_WIDTH
    return width, spec.height or max(1, round(width * _SHAPE))


def _ground(spec: ThumbnailSpec) -> str:
    return picture.colour_word(spec.background or _PAPER)


def _write(
    drawn: Any, spec: ThumbnailSpec, clip: Clip, size: tuple[int, int] | None
) -> RungRun:
    file = f"thumbnail.{encode.extension(spec.format)}"
    options = encode.still(spec.format, spec.quality, clip.threads)
    drawn = drawn.filter("scale", **picture.target(spec.format))
    drawn = drawn.filter("format", picture.OPAQUE[spec.format]).filter("setsar", 1)
    done = yield Step(argv(ffmpeg.output(drawn, file, **options)), _ART_SECONDS)
    if file not in done.files:
        raise DecodeError("the stand-in could not be made")
    width, height = size or (None, None)
    kind = encode.CONTENT_TYPES[spec.format]
    return [Made(file, file, kind, width, height)]


def _artwork(spec: ThumbnailSpec, clip: Clip, index: int) -> RungRun:
    """Show the embedded picture inside the box, never enlarged unless asked."""
    words = input_options(clip) | {"max_pixels": clip.pixels}
    art = ffmpeg.input(f"file:{clip.path}", **words)[str(index)]
    width = spec.width or spec.height or encode.STILL_WIDTH
    height = spec.height or 2 * width
    sides = (
        (str(width), str(height))
        if spec.enlarge
        else (f"min(iw,{width})", f"min(ih,{height})")
    )
    even = 2 if picture.is_even(spec.format) else 1
    art = art.filter(
        "scale",
        *sides,
        force_original_aspect_ratio="decrease",
        force_divisible_by=even,
    )
    return (yield from _write(art, spec, clip, None))


def _waveform(spec: ThumbnailSpec, clip: Clip, index: int) -> RungRun:
    width, height = _size(spec)
    words = input_options(clip, decode=False) | {"t": _AUDIO_SECONDS}
    audio = ffmpeg.input(f"file:{clip.path}", **words)[str(index)]
    wave = audio.filter("aformat", channel_layouts="mono").filter(
        "showwavespic", s=f"{width}x{height}", colors=picture.colour_word(_PEN)
    )
    ground = _blank(width, height, _ground(spec))
    drawn = ffmpeg.overlay(ground, wave, format="rgb")
    return (yield from _write(drawn, spec, clip, (width, height)))


def _blank(width: int, height: int, colour: str) -> Any:
    graph = f"color=c={colour}:s={width}x{height}:d=1:r=1"
    return ffmpeg.input(graph, f="lavfi")


def _icon(spec: ThumbnailSpec, clip: Clip) -> RungRun:
    """Draw a frame of film with a bar of sound: a sign, not a picture."""
    width, height = _size(spec)
    drawn = _blank(width, height, _ground(spec))
    pen = picture.colour_word(_PEN)
    line = max(1, min(width, height) // 40)
    drawn = drawn.filter("drawbox", "iw/4", "ih/4", "iw/2", "ih/2", color=pen, t=line)
    for place, tall in enumerate((0.1, 0.22, 0.32, 0.18, 0.26, 0.12)):
        drawn = drawn.filter(
            "drawbox",
            f"iw*{0.31 + 0.066 * place:.3f}",
            f"ih*{0.5 - tall / 2:.3f}",
            "iw*0.04",
            f"ih*{tall}",
            color=pen,
            t="fill",
        )
    return (yield from _write(drawn, spec, clip, (width, height)))
