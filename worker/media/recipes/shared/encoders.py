"""Define encoder options per format, file extensions and content types."""

from __future__ import annotations

import math
from typing import Any

CONTENT_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "webm": "video/webm",
}
STILL_WIDTH = 640
EXTENSIONS = {"jpeg": "jpg"}
_SMALLEST_SVT = 64
# The colour tags of a file. An untagged PNG would get those of the source's frame, and
# viewers would show a grey of 128 as 121 (BT.709) or 106 (PAL).
_VIDEO = {
    "color_primaries": "bt709",
    "color_trc": "bt709",
    "colorspace": "bt709",
    "range": "limited",
}
# SVT-AV1 writes no grey pictures.
_AVIF_ALPHA = {"c:v:1": "libaom-av1", "cpu-used:v:1": 8, "usage:v:1": "realtime"}
# libwebp's encoder of animations merges frames that differ by less than its quality
# allows: of 90 frames of a slow fade it kept 30. So each frame is encoded separately.
# Blocks that hardly differ from what is shown are left transparent over it. They need
# the alpha plane, so libwebp's encoder writes animations that are transparent
# themselves.
WEBP_PIXELS = "yuva420p"
_WEBP = {"c:v": "libwebp"}
_LEAST_BLOCK, _LARGEST_BLOCK = 17, 255
# The sum of squared differences, for each pixel of a block's side, from which a block
# is drawn again. More would leave an edge of a faint shape behind that moves on.
_DIFFERENCE = 40
_WEBP_ALPHA = {"c:v": "libwebp_anim"}
# From level 3 on, libwebp keeps all tokens of a picture in memory. Of noise these are
# 28 bytes a pixel: 3.2 GiB for the largest sheet. Level 2 keeps none, and its files are
# 1 % larger. libaom takes 999 MiB for 59 megapixels of noise, in this mode a seventh
# less.
_LEAN: dict[str, tuple[int, dict[str, Any]]] = {
    "webp": (16_000_000, {"compression_level": 2}),
    "avif": (33_000_000, {"usage": "allintra"}),
}
_TAGS: dict[str, dict[str, str]] = {
    "png": {"color_primaries": "bt709", "color_trc": "iec61966-2-1"},
    "avif": _VIDEO,
    "mp4": _VIDEO,
    "webm": _VIDEO,
}
# No metadata of the source, no dates, no encoder names: the same input gives the same
# bytes.
_CLEAN: dict[str, Any] = {
    "an": None,
    "sn": None,
    "dn": None,
    "map_metadata": -1,
    "map_chapters": -1,
    "fflags": "+bitexact",
    "flags:v": "+bitexact",
}


def extension(kind: str) -> str:
    """Return the file extension of a format."""
    return EXTENSIONS.get(kind, kind)


def tagged(frames: Any, kind: str) -> Any:
    """Append the filter that tags drawn frames with the colours of the format.

    Encoders take these from the frames: FFmpeg 9.0.2 silently drops
    ``-color_primaries`` and ``-color_trc`` from an output's options. JPEG, WebP and GIF
    have no tags: they are sRGB.
    """
    tags = _TAGS.get(kind)
    return frames.filter("setparams", **tags) if tags else frames


def streams(frames: Any, kind: str, *, has_alpha: bool) -> list[Any]:
    """Tag drawn frames and split them into the streams that a file is written from.

    An AVIF stores its transparency as a separate full-range grey stream; ``has_alpha``
    says that there is some.
    """
    frames = tagged(frames, kind)
    if kind != "avif" or not has_alpha:
        return [frames]
    both = frames.filter_multi_output("split")
    alpha = both[1].filter("alphaextract").filter("format", "gray")
    return [
        both[0].filter("format", "yuv420p"),
        alpha.filter("setparams", range="full"),
    ]


def still(kind: str, quality: int, threads: int = 2, pixels: int = 0) -> dict[str, Any]:
    """Return the output options for one picture; ``quality`` 1 to 100.

    ``pixels`` is how many it has; needed if they may be millions.
    """
    common = _CLEAN | {
        "threads": threads,
        "frames:v": 1,
        "fps_mode": "passthrough",
    }
    most, lean = _LEAN.get(kind, (pixels, {}))
    lean = lean if pixels > most else {}
    return common | stills(kind, quality) | lean | {"update": 1}


def stills(kind: str, quality: int) -> dict[str, Any]:
    """Return the encoder options of a still format alone."""
    if kind == "jpeg":
        return {"c:v": "mjpeg", "q:v": jpeg_scale(quality), "qmin": 1, "f": "image2"}
    if kind == "png":
        return {"c:v": "png", "pred": "mixed", "f": "image2"}
    if kind == "webp":
        return {"c:v": "libwebp", "quality": quality, "f": "image2"}
    return {
        "c:v": "libaom-av1",
        "still-picture": 1,
        "crf": round((100 - quality) * 0.75) + 3 if quality < 100 else 0,
        "cpu-used": 6,
        "f": "avif",
    }


def jpeg_scale(quality: int) -> int:
    """Return FFmpeg's ``-q:v`` (1 best, 31 worst) for libjpeg's quality.

    libjpeg scales its tables by 5000/q or 200-2q percent; FFmpeg's MPEG tables at
    ``-q:v 8`` are about libjpeg's at 100 percent.
    """
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    return min(31, max(1, round(percent / 8)))


def moving(  # noqa: PLR0913 - one flat list of encoder settings
    kind: str,
    quality: int,
    *,
    loop: int,
    width: int,
    height: int,
    fps: float,
    has_alpha: bool = False,
    threads: int = 2,
) -> dict[str, Any]:
    """Return the output options of an animation or clip; ``loop`` 0 is endless.

    ``has_alpha`` is as for :func:`streams`.
    """
    common = _CLEAN | {"threads": threads, "fps_mode": "passthrough"}
    if kind == "gif":
        return common | {"c:v": "gif", "loop": gif_loop(loop), "f": "gif"}
    if kind == "webp":
        words = {"quality": quality, "loop": loop, "f": "webp"}
        return common | words | (_WEBP_ALPHA if has_alpha else _webp(width, height))
    if kind == "avif":
        words = _avif(quality, loop, min(width, height))
        return common | words | (_AVIF_ALPHA if has_alpha else {})
    if kind == "mp4":
        return common | {
            "c:v": "libx264",
            "preset": "veryfast",
            "crf": min(51, round(56 - 0.4 * quality)),
            "g": max(1, round(fps * 5)),
            "movflags": "+faststart",
            "f": "mp4",
        }
    return common | {
        "c:v": "libvpx-vp9",
        "crf": min(63, round(64 - 0.4 * quality)),
        "b:v": 0,
        "deadline": "good",
        "cpu-used": 5,
        "row-mt": 1,
        "g": max(1, round(fps * 5)),
        "f": "webm",
    }


def gif_loop(times: int) -> int:
    """Return the GIF muxer's repeats for a number of plays; -1 plays once."""
    if times == 0:
        return 0
    return -1 if times == 1 else times - 1


def _webp(width: int, height: int) -> dict[str, Any]:
    """Return the encoder options of an opaque animation of that size in pixels.

    libwebp gives squares of 8 x 8 pixels one colour if all of them are transparent, and
    decoders mix colours across the edge of such a square. A block that ends there shows
    a coloured seam. Blocks with an odd side reach one of those edges only at eight
    times their side, which is not inside the picture.
    """
    side = max(_LEAST_BLOCK, math.ceil(max(width, height) / 8) | 1)
    if side > _LARGEST_BLOCK:
        return _WEBP
    return _WEBP | {"cr_size": side, "cr_threshold": _DIFFERENCE * side}


def _avif(quality: int, loop: int, side: int) -> dict[str, Any]:
    crf = min(63, round(65 - 0.4 * quality))
    common: dict[str, Any] = {"crf": crf, "loop": loop, "f": "avif"}
    if side < _SMALLEST_SVT:
        return common | {"c:v": "libaom-av1", "cpu-used": 8, "usage": "realtime"}
    return common | {"c:v": "libsvtav1", "preset": 10}
