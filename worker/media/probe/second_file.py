"""Find a second file that was appended to the first, as ``cat`` joins files.

FFmpeg reads on into a second Matroska file, whose clock restarts. It stops at a second
FLV file and at a second index of an MP4. A file that is not read to its end shows
neither. Only lengths are read here, so this costs little at any size.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

_FLV, _FLV_HEAD, _FLV_TAG = b"FLV\x01", 9, 11
_BACK = 4
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MOST_BOXES = 100_000


def find_second_file(
    path: Path, container: str
) -> Literal["read", "restarts", "hidden"] | None:
    """Return whether FFmpeg reads an appended file, or hides it.

    "read" means that FFmpeg reads it, "restarts" that its clock also starts again,
    "hidden" that FFmpeg stops before it; None if there is no second file. ``container``
    is FFmpeg's name of the format.
    """
    with path.open("rb") as file:
        if file.read(1) == b"":
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if container == "flv":
                return "hidden" if _is_flv_joined(data) else None
            if container.startswith("mov,"):
                return _second_mp4(data)
            if container.startswith("matroska"):
                return "read" if _is_matroska_joined(data) else None
    return None


def _is_flv_joined(data: mmap.mmap) -> bool:
    """Return True if another FLV file follows the last tag."""
    at = _FLV_HEAD + _BACK
    while data[at : at + 1] in (b"\x08", b"\x09", b"\x12"):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        at += _FLV_TAG + size + _BACK
    return at > _FLV_HEAD + _BACK and data[at : at + len(_FLV)] == _FLV


def _second_mp4(data: mmap.mmap) -> Literal["restarts", "hidden"] | None:
    """Return how FFmpeg treats a second index after a second header, None if none.

    Fragments of a second file are read; if their clock continues, it is one film.
    """
    boxes = list(_boxes(data))
    kinds = [kind for kind, _, _ in boxes]
    if kinds.count(b"ftyp") < 2 or kinds.count(b"moov") < 2:
        return None
    second = kinds.index(b"ftyp", kinds.index(b"ftyp") + 1)
    if b"moov" not in kinds[:second] or b"moov" not in kinds[second:]:
        return None
    if b"moof" not in kinds:
        return "hidden"
    before, after = (
        [
            _fragment_time(data, start, end)
            for kind, start, end in part
            if kind == b"moof"
        ]
        for part in (boxes[:second], boxes[second:])
    )
    return "restarts" if before and after and after[0] < before[-1] else None


def _boxes(data: mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the outermost boxes."""
    at = 0
    for _ in range(_MOST_BOXES):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        least = 8
        if size == 1:
            size, least = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size < least:
            return
        yield kind, at, at + size
        at += size


def _fragment_time(data: mmap.mmap, start: int, end: int) -> int:
    """Return when a fragment's first track is decoded, in its ticks; 0 if unknown."""
    at = data.find(b"tfdt", start, end)
    if at < 0:
        return 0
    wide = 8 if data[at + 4] else 4
    return int.from_bytes(data[at + 8 : at + 8 + wide], "big")


def _is_matroska_joined(data: mmap.mmap) -> bool:
    """Return True if another file follows the segment; live ones state no length."""
    at = 0
    for name in (_EBML, _SEGMENT):
        if data[at : at + 4] != name:
            return False
        size, wide = _length(data, at + 4)
        if size is None:
            return False
        at += 4 + wide + size
    return data[at : at + 4] == _EBML


def _length(data: mmap.mmap, at: int) -> tuple[int | None, int]:
    """Return an EBML length and its size in bytes; None if it is unknown."""
    first = data[at] if at < len(data) else 0
    if not first:
        return None, 0
    wide = 9 - first.bit_length()
    whole = (1 << 7 * wide) - 1
    size = int.from_bytes(data[at : at + wide], "big") & whole
    return (None if size == whole else size), wide
