"""Pictures and animations as their viewers see them, frame by frame.

GIF, WebP, AVIF, PNG and JPEG are read by Pillow, MP4 and WebM by PyAV: neither is the
program that made them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import av
from PIL import Image

MOVING = frozenset({"video/mp4", "video/webm"})


@dataclass(frozen=True)
class Frame:
    """One frame; ``start`` and ``duration`` are seconds within the animation.

    ``duration`` is 0 for a still. The picture is RGB, or RGBA where the file has
    transparency.
    """

    picture: Image.Image
    start: float = 0.0
    duration: float = 0.0


def decode(body: bytes) -> list[Frame]:
    """Return all frames of a picture, an animation or a movie."""
    if body[4:12] in {b"ftypavif", b"ftypavis"} or not _is_moving(body):
        return _frames_of_picture(body)
    return _frames_of_moving(body)


def _is_moving(body: bytes) -> bool:
    return body[4:8] == b"ftyp" or body[:4] == b"\x1a\x45\xdf\xa3"


def _frames_of_picture(body: bytes) -> list[Frame]:
    found, start = [], 0.0
    with Image.open(io.BytesIO(body)) as picture:
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            picture.load()
            seconds = float(picture.info.get("duration", 0)) / 1000
            found.append(Frame(_plain(picture), start, seconds))
            start += seconds
    return found


def _plain(picture: Image.Image) -> Image.Image:
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    return picture.convert(mode)


def _frames_of_moving(body: bytes) -> list[Frame]:
    with av.open(io.BytesIO(body), "r") as container:
        stream = container.streams.video[0]
        unit = float(stream.time_base or 0)
        found = []
        for frame in container.decode(stream):
            start = float(frame.pts or 0) * unit
            picture = frame.to_image()
            found.append((picture, start, float(frame.duration or 0) * unit))
    ends = [start for _, start, _ in found[1:]]
    if found:
        ends.append(found[-1][1] + found[-1][2])
    return [
        Frame(picture, start, end - start)
        for (picture, start, _), end in zip(found, ends, strict=True)
    ]
