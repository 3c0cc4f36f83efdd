"""What a container says is to be cut off the decoded picture.

Matroska's PixelCrop* and MP4's clap (clean aperture). FFmpeg cuts it off by itself;
PyAV 18 tells of it only in FFmpeg's description of the file.
"""

from __future__ import annotations

import re
from typing import Any

_STREAM = re.compile(r" *Stream #0:(\d+)")
_CROP = re.compile(r" *Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$")


def kept_size(description: str, index: int, frame: dict[str, Any]) -> tuple[int, int]:
    """Give the width and height that are left of a stream's frame, in pixels.

    ``description`` is FFmpeg's text about the whole file.
    """
    width, height = int(frame["width"]), int(frame["height"])
    stream = -1
    for line in description.splitlines():
        if head := _STREAM.match(line):
            stream = int(head[1])
        elif stream == index and (crop := _CROP.match(line)):
            left, right, top, bottom = (int(side) for side in crop.groups())
            if left + right < width and top + bottom < height:
                return width - left - right, height - top - bottom
    return width, height
