"""What a file says of its colours, read from its bytes and by no media library.

Numbers are those of ITU-T H.273: 1 is BT.709, 13 sRGB, 2 unspecified.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

BT709 = 1
UNSPECIFIED = 2
_NCLX = b"colrnclx"
_SEGMENT, _TRACKS, _ENTRY, _VIDEO, _COLOUR = (
    0x18538067,
    0x1654AE6B,
    0xAE,
    0xE0,
    0x55B0,
)
_MATRIX, _RANGE, _TRANSFER, _PRIMARIES = 0x55B1, 0x55B9, 0x55BA, 0x55BB
_PNG_HEAD = 8


@dataclass(frozen=True)
class Colours:
    """What one track or picture says; ``full`` is whether codes use all values."""

    primaries: int
    transfer: int
    matrix: int
    full: bool


def of_boxes(body: bytes) -> list[Colours]:
    """Return what the ``colr`` boxes of an MP4 or AVIF say, in the file's order.

    ISO/IEC 14496-12: three numbers of 16 bits, then the range in a byte's high bit.
    """
    found, at = [], body.find(_NCLX)
    while at >= 0:
        words = struct.unpack_from(">HHHB", body, at + len(_NCLX))
        found.append(Colours(*words[:3], full=bool(words[3] & 0x80)))
        at = body.find(_NCLX, at + 1)
    return found


def of_matroska(body: bytes) -> list[Colours]:
    """Return what the ``Colour`` elements of a WebM say, one for each video track.

    RFC 9559; a number that is left out is unspecified.
    """
    found = []
    for _, segment in _named(body, _SEGMENT):
        for _, tracks in _named(segment, _TRACKS):
            for _, entry in _named(tracks, _ENTRY):
                for _, video in _named(entry, _VIDEO):
                    found.append(_colour(video))
    return found


def _colour(video: bytes) -> Colours:
    said = {}
    for _, colour in _named(video, _COLOUR):
        said = {name: int.from_bytes(data) for name, data in _elements(colour)}
    primaries, transfer, matrix = (
        said.get(name, UNSPECIFIED) for name in (_PRIMARIES, _TRANSFER, _MATRIX)
    )
    return Colours(primaries, transfer, matrix, full=said.get(_RANGE, 0) == 2)


def _named(data: bytes, wanted: int) -> Iterator[tuple[int, bytes]]:
    return (one for one in _elements(data) if one[0] == wanted)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield name and content of the elements of one level."""
    at = 0
    while at < len(data):
        name, at = _number(data, at, marked=True)
        size, at = _number(data, at)
        yield name, data[at : at + size]
        at += size


def _number(data: bytes, at: int, *, marked: bool = False) -> tuple[int, int]:
    """Read a number whose first byte tells its length; all ones is "to the end"."""
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length])
    if not marked:
        value &= (1 << 7 * length) - 1
        if value == (1 << 7 * length) - 1:
            value = len(data)
    return value, at + length


def of_png(body: bytes) -> dict[str, Any]:
    """Return the colour chunks of a PNG: ``sRGB``, ``gAMA``, ``cICP`` and others."""
    found, at = {}, _PNG_HEAD
    while at < len(body):
        size, name = struct.unpack_from(">I4s", body, at)
        found[name.decode()] = body[at + 8 : at + 8 + size]
        at += 12 + size
    kept = ("sRGB", "gAMA", "cICP", "cHRM", "iCCP")
    return {name: data for name, data in found.items() if name in kept}
