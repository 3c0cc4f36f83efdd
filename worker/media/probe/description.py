"""Read facts that only FFmpeg's text description of a file contains.

PyAV 18 exposes no side data of streams: the container's cropping (Matroska's
PixelCrop*, MP4's clap; FFmpeg crops by itself) and Dolby Vision's configuration. Nor
does it name the codec of a stream that it cannot decode.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_STREAM = re.compile(r" *Stream #0:(\d+)")
_CODEC = re.compile(r" *Stream #0:(\d+).*?: Video: (\w+)(?: \((.+?) / 0x[0-9A-F]+\))?")
_CROP = re.compile(r" *Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$")
_DOLBY = re.compile(r" *DOVI configuration record: .*\bprofile: (\d+)")


def kept_size(text: str, index: int, frame: dict[str, Any]) -> tuple[int, int]:
    """Return the width and height of a stream's frame after cropping, in pixels."""
    width, height = int(frame["width"]), int(frame["height"])
    for line in _about(text, index):
        if crop := _CROP.match(line):
            left, right, top, bottom = (int(side) for side in crop.groups())
            if left + right < width and top + bottom < height:
                return width - left - right, height - top - bottom
    return width, height


def codec_name(text: str, index: int) -> str:
    """Return the codec of a video stream, or its tag if FFmpeg has no name for it."""
    for found in map(_CODEC.match, text.splitlines()):
        if found and int(found[1]) == index:
            return found[3] or "unknown" if found[2] == "none" else found[2]
    return "unknown"


def dolby_profile(text: str, index: int) -> int | None:
    """Return the profile of a Dolby Vision stream; 5 has no base layer."""
    found = (_DOLBY.match(line) for line in _about(text, index))
    return next((int(match[1]) for match in found if match), None)


def _about(text: str, index: int) -> Iterator[str]:
    """Yield the lines about one stream."""
    stream = -1
    for line in text.splitlines():
        if head := _STREAM.match(line):
            stream = int(head[1])
        elif stream == index:
            yield line
