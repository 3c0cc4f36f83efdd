"""Find out how a frame is shown: its crop, pixel aspect and orientation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from worker.media import warning_codes
from worker.media.probe.description import kept_size

_QUARTER = 90
_SLACK_DEGREES = 1.5


@dataclass(frozen=True)
class Shape:
    """Size in pixels as shown, pixel aspect, clockwise degrees, and a flip."""

    width: int
    height: int
    aspect: tuple[int, int]
    rotation: int
    mirrored: bool


def read_shape(video: dict[str, Any], description: str, warnings: list[str]) -> Shape:
    """Return the shape of a stream, from its facts and FFmpeg's description.

    An unusable value is ignored, and its code is added to ``warnings``.
    """
    frame = video["frames"][0]
    rotation, mirrored = _oriented(frame, warnings)
    num, den = video["aspect"]
    # Treat an absurd pixel aspect as 1:1.
    aspect = (num, den) if 1 / 64 <= num / den <= 64 else (1, 1)
    width, height = kept_size(description, video["index"], frame)
    width = max(1, round(width * aspect[0] / aspect[1]))
    if rotation % 180:
        width, height = height, width
    return Shape(width, height, aspect, rotation, mirrored)


def orientation(matrix: list[int]) -> tuple[int, bool] | None:
    """Return the orientation in a display matrix: clockwise degrees, and mirrored.

    The degrees are quarter turns. A mirrored picture is first flipped left to right,
    then turned. None if the matrix is not such an orientation (ISO/IEC 14496-12, tkhd).
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    determinant = a * d - b * c
    if not determinant:
        return None
    mirrored = determinant < 0
    if mirrored:
        a, b = -a, -b
    degrees = math.degrees(math.atan2(b, a)) % 360
    turns = round(degrees / _QUARTER)
    if abs(degrees - turns * _QUARTER) > _SLACK_DEGREES:
        return None
    return turns % 4 * _QUARTER, mirrored


def _oriented(frame: dict[str, Any], warnings: list[str]) -> tuple[int, bool]:
    matrix = frame["matrix"]
    if matrix is None:
        # PyAV counts counterclockwise.
        return -round(frame["rotation"] / _QUARTER) % 4 * _QUARTER, False
    found = orientation(matrix)
    if found is not None:
        return found
    usable = any(matrix[place] for place in (0, 1, 3, 4))
    warnings.append(
        warning_codes.ODD_ROTATION if usable else warning_codes.ROTATION_IGNORED
    )
    return 0, False
