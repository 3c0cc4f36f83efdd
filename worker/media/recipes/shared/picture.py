"""Turn a decoded frame into the requested picture: the shared filter chain.

:func:`fit` computes the sizes, :func:`draw` appends the filters. Their order keeps the
work small: frames are dropped before they are scaled, and tone mapped, turned and
padded after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import ffmpeg

from common.outputs.specs import MAX_SIDE, Fit, Gravity
from worker.media import warning_codes
from worker.media.ffmpeg.clip import CENTER, Clip, Region
from worker.media.recipes.shared import dolby

Format = Literal["jpeg", "webp", "png", "avif", "gif", "mp4", "webm", "raw"]
_HD_LINES = 720
# HDR's reference white (ITU-R BT.2408): linear light 1.0 for the tone curve.
_WHITE_NITS = 203
# The tone curve changes nothing up to this share of white, where skin lies.
_KNEE = 0.5
_FULL_RANGE_FORMATS = ("jpeg",)
_BT601_FORMATS = ("jpeg", "webp")
_RGB_FORMATS = ("png", "gif", "raw")
_EVEN_FORMATS = ("avif", "mp4", "webm")
# Accurate rounding: swscale's default turns white into #fffdff or #fdfdfd, grey into
# 126.
_EXACT = "accurate_rnd+full_chroma_int"
OPAQUE_PIXELS = {
    "jpeg": "yuvj420p",
    "webp": "yuv420p",
    "png": "rgb24",
    "avif": "yuv420p",
    "gif": "bgra",
    "mp4": "yuv420p",
    "webm": "yuv420p",
    "raw": "rgba",
}
# Pixel formats with transparency, of the formats that can have it.
ALPHA_PIXELS = {
    "png": "rgba",
    "webp": "bgra",
    "avif": "yuva420p",
    "gif": "bgra",
    "webm": "yuva420p",
    "raw": "rgba",
}


# Where the words of a gravity lie, as shares of the sides.
_ACROSS = {"west": 0.0, "east": 1.0}
_DOWN = {"north": 0.0, "south": 1.0}


class SizeFields(Protocol):
    """The fields of a spec that say how large its picture is."""

    @property
    def width(self) -> int | None:
        """Return the width in pixels, None if it follows from the height."""

    @property
    def height(self) -> int | None:
        """Return the height in pixels, None if it follows from the width."""

    @property
    def fit(self) -> Fit:
        """Return how the picture is fitted into the box."""

    @property
    def enlarge(self) -> bool:
        """Return True if it may become larger than the source."""


@dataclass(frozen=True)
class MaxSize:
    """The largest size of a picture that keeps its shape, in pixels.

    A height of None follows from the width.
    """

    width: int
    height: int | None = None
    fit: Fit = "contain"
    enlarge: bool = False


@dataclass(frozen=True)
class Box:
    """The sizes of a picture, upright, in pixels.

    The frame is scaled to ``scaled``, then cropped or padded around its centre to
    ``width`` x ``height``.
    """

    scaled: tuple[int, int]
    width: int
    height: int

    @property
    def crops(self) -> bool:
        """Return True if something is cut off."""
        return self.scaled[0] > self.width or self.scaled[1] > self.height

    def corner(self, focus: tuple[float, float]) -> tuple[int, int]:
        """Return where the crop around a point of the scaled frame begins.

        ``focus`` is a share of each side. The crop is moved to lie inside.
        """
        x, y = (
            min(max(0, round(share * long - side / 2)), max(0, long - side))
            for share, long, side in zip(
                focus, self.scaled, (self.width, self.height), strict=True
            )
        )
        return x, y

    @property
    def pads(self) -> bool:
        """Return True if there is a border."""
        return self.scaled[0] < self.width or self.scaled[1] < self.height


def focus(gravity: Gravity) -> tuple[float, float]:
    """Return the point that a crop keeps, as shares of the picture."""
    if isinstance(gravity, list):
        return gravity[0], gravity[1]
    words = gravity.split("_")
    across = next((_ACROSS[word] for word in words if word in _ACROSS), 0.5)
    return across, next((_DOWN[word] for word in words if word in _DOWN), 0.5)


def is_even(file_format: str) -> bool:
    """Return True if the format's encoder takes even sizes only (4:2:0 video)."""
    return file_format in _EVEN_FORMATS


def _whole(value: float, *, even: bool) -> int:
    if even:
        return max(2, round(value / 2) * 2)
    return max(1, round(value))


def fit(
    source: tuple[int, int], spec: SizeFields, default_width: int, *, even: bool = False
) -> Box:
    """Return the sizes for a source of that display size.

    Without ``enlarge`` nothing grows: contain and pad keep at most the source's size,
    cover and stretch shrink the whole box in proportion. With it, no side that follows
    from the shape grows over ``MAX_SIDE``, and none that cover crops over twice that: a
    strip of a few pixels would become millions long.
    """
    width, height = source
    wanted = (spec.width, spec.height)
    if wanted == (None, None):
        wanted = (default_width, None)
    x = wanted[0] / width if wanted[0] else None
    y = wanted[1] / height if wanted[1] else None
    most = float("inf") if spec.enlarge else 1.0
    longest = max(1.0, MAX_SIDE / max(source))
    if spec.fit in ("contain", "pad") or x is None or y is None:
        scale = min(s for s in (x, y, most, longest) if s is not None)
        scaled = (_whole(width * scale, even=even), _whole(height * scale, even=even))
        if spec.fit == "pad" and wanted[0] and wanted[1]:
            canvas = (_whole(wanted[0], even=even), _whole(wanted[1], even=even))
            scaled = (min(scaled[0], canvas[0]), min(scaled[1], canvas[1]))
            return Box(scaled, *canvas)
        return Box(scaled, *scaled)
    if spec.fit == "cover":
        scale = max(x, y)
        shrink = min(1.0, most / scale, 2 * longest / scale)
        box = (
            _whole(x * width * shrink, even=even),
            _whole(y * height * shrink, even=even),
        )
        scale *= shrink
        scaled = (
            max(box[0], _whole(width * scale, even=even)),
            max(box[1], _whole(height * scale, even=even)),
        )
        return Box(scaled, *box)
    shrink = min(1.0, most / max(x, y))
    size = (
        _whole(x * width * shrink, even=even),
        _whole(y * height * shrink, even=even),
    )
    return Box(size, *size)


def keeps_alpha(clip: Clip, file_format: Format, background: str | None) -> bool:
    """Return True if transparency survives: the clip, format and spec allow it."""
    return clip.video.alpha and file_format in ALPHA_PIXELS and background is None


def draw(  # noqa: PLR0913 - what is drawn, and the two ways it may differ
    stream: Any,
    clip: Clip,
    box: Box,
    file_format: Format,
    *,
    background: str | None = None,
    plain: bool = False,
    lone: bool = False,
) -> Any:
    """Append the filters that make the picture of ``box`` for a format.

    ``plain`` is the fallback for colour descriptions that FFmpeg cannot convert: common
    ones replace them, and HDR is not tone mapped. ``lone`` says that the stream's
    frames are not neighbours in time: an interlaced frame is then reduced to one of its
    fields, since ``bwdif`` would mix in frames from seconds away.
    """
    video = clip.video
    mapped = video.hdr is not None and not plain
    if plain:
        stream = _forget_colours(stream, clip)
    elif mapped:
        stream = _describe_hdr(stream, clip)
    stream = _cut(_deinterlaced(stream, clip, lone=lone), clip.region)
    stream = _scale(stream, clip, box, file_format, mapped=mapped, plain=plain)
    if mapped:
        stream = _tone_map(stream, clip)
    stream = _turn(stream, video.rotation, mirrored=video.mirrored)
    if box.crops:
        corner = () if clip.focus == CENTER else box.corner(clip.focus)
        stream = stream.filter("crop", box.width, box.height, *corner)
    has_alpha = keeps_alpha(clip, file_format, background)
    if video.alpha and not has_alpha:
        stream = flatten(stream, background or "#000000")
    if box.pads:
        colour = "black@0" if has_alpha else colour_word(background or "#000000")
        stream = stream.filter(
            "pad", box.width, box.height, "(ow-iw)/2", "(oh-ih)/2", color=colour
        )
    if mapped or video.alpha or box.pads:
        stream = scale(stream, **target(file_format))
    pixels = ALPHA_PIXELS[file_format] if has_alpha else OPAQUE_PIXELS[file_format]
    # A remaining display matrix would turn the upright picture again.
    stream = stream.filter("sidedata", "delete")
    return stream.filter("format", pixels).filter("setsar", 1)


def colour_warnings(clip: Clip) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the warnings for mapped colours, and for colours left as they are."""
    if clip.video.hdr:
        return (warning_codes.TONE_MAPPED,), (warning_codes.HDR_CLIPPED,)
    return (), (warning_codes.COLOUR_GUESSED,)


def colour_word(text: str) -> str:
    """Return ``#rrggbb`` as FFmpeg's options write it."""
    return "0x" + text.removeprefix("#")


def target(file_format: Format) -> dict[str, str]:
    """Return the matrix and range that the format's readers expect.

    JFIF is BT.601 in full range, WebP BT.601 in limited range; video is tagged BT.709
    in limited range.
    """
    if file_format in _RGB_FORMATS:
        return {}
    matrix = "bt601" if file_format in _BT601_FORMATS else "bt709"
    full = file_format in _FULL_RANGE_FORMATS
    return {"out_color_matrix": matrix, "out_range": "full" if full else "limited"}


def scale(stream: Any, *size: Any, kernel: str = "bicubic", **words: Any) -> Any:
    """Append a scaler that keeps white white; without a size it converts colours."""
    return stream.filter("scale", *size, flags=f"{kernel}+{_EXACT}", **words)


def formatted(stream: Any, file_format: Format, *size: Any) -> Any:
    """Append what turns a drawn picture into a format's pixels, scaled to a size."""
    stream = scale(stream, *size, **target(file_format))
    return stream.filter("format", OPAQUE_PIXELS[file_format]).filter("setsar", 1)


def _source_matrix(clip: Clip, *, plain: bool) -> dict[str, str]:
    """Return BT.709 for untagged HD, as players do; FFmpeg would take BT.601."""
    video = clip.video
    untagged = video.colour.matrix is None or plain
    if untagged and min(video.coded_width, video.coded_height) >= _HD_LINES:
        return {"in_color_matrix": "bt709"}
    return {}


def _deinterlaced(stream: Any, clip: Clip, *, lone: bool) -> Any:
    if not clip.video.interlaced:
        return stream
    if lone:
        return stream.filter("field", "top")
    return stream.filter("bwdif", mode="send_frame", deint="interlaced")


def _cut(stream: Any, region: Region | None) -> Any:
    """Cut out a region; a frame of another size in mid-stream is scaled first."""
    if region is None:
        return stream
    stream = stream.filter("scale", *region.full)
    return stream.filter("crop", region.width, region.height, region.x, region.y)


def _scale(
    stream: Any, clip: Clip, box: Box, file_format: Format, *, mapped: bool, plain: bool
) -> Any:
    width, height = box.scaled
    if clip.video.rotation % 180:
        width, height = height, width
    if mapped:
        stream = scale(stream, width, height)
        return stream.filter("format", "yuv444p12le")
    words = _source_matrix(clip, plain=plain)
    if clip.video.alpha:
        return scale(stream, width, height, **words).filter("format", "rgba")
    if not box.pads:
        words |= target(file_format)
    stream = scale(stream, width, height, **words)
    if not (box.crops or box.pads):
        return stream
    # On halved colour planes, crop rounds odd sizes down and pad fails.
    return stream.filter(
        "format",
        OPAQUE_PIXELS[file_format] if file_format in _RGB_FORMATS else "yuv444p",
    )


def _describe_hdr(stream: Any, clip: Clip) -> Any:
    """Tag frames with their colours; unset or unusable values get the usual ones.

    zscale refuses values that are unset or that do not fit together.
    """
    colour = clip.video.colour
    hlg = colour.transfer == "arib-std-b67"
    return stream.filter(
        "setparams",
        color_primaries=colour.primaries or "bt2020",
        color_trc="arib-std-b67" if hlg else "smpte2084",
        colorspace="bt709" if colour.matrix == "bt709" else "bt2020nc",
        range="full" if colour.range == "full" else "limited",
    )


def _tone_map(stream: Any, clip: Clip) -> Any:
    """Map PQ or HLG to BT.709 in linear light.

    The curve works on the largest of red, green and blue, which keeps the hue. Its end
    is the mastering display's peak if the file states it. The result has sRGB's
    transfer, as viewers of pictures and browsers read it.
    """
    if clip.video.colour.matrix == "ipt-c2":
        stream = dolby.linear(stream, _WHITE_NITS)
    else:
        stream = stream.filter("zscale", t="linear", npl=_WHITE_NITS)
        stream = stream.filter("format", "gbrpf32le")
    stream = stream.filter("zscale", p="bt709")
    stream = stream.filter("tonemap", "mobius", param=_KNEE, desat=0)
    stream = stream.filter("zscale", t="iec61966-2-1", m="bt709", r="limited")
    return stream.filter("format", "yuv444p")


def _forget_colours(stream: Any, clip: Clip) -> Any:
    video = clip.video
    rgb = (video.pixel_format or "").startswith(("gbr", "rgb", "bgr", "argb", "abgr"))
    hd = min(video.coded_width, video.coded_height) >= _HD_LINES
    space = "gbr" if rgb else "bt709" if hd else "smpte170m"
    return stream.filter(
        "setparams",
        colorspace=space,
        color_primaries="bt709",
        color_trc="bt709",
        range="full" if rgb or video.colour.range == "full" else "limited",
    )


def _turn(stream: Any, rotation: int, *, mirrored: bool) -> Any:
    if mirrored:
        stream = stream.filter("hflip")
    if rotation == 180:
        return stream.filter("hflip").filter("vflip")
    if rotation == 90:
        return stream.filter("transpose", "clock")
    return stream.filter("transpose", "cclock") if rotation == 270 else stream


def flatten(stream: Any, background: str) -> Any:
    """Put the picture onto one colour."""
    both = stream.filter_multi_output("split")
    ground = both[0].filter(
        "drawbox", 0, 0, "iw", "ih", color=colour_word(background), t="fill", replace=1
    )
    return ffmpeg.overlay(ground, both[1], format="rgb")
