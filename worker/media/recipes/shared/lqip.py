"""Make a tiny picture that a page can carry in itself: a data URI of at most 1 KB.

It is a PNG of up to 32 pixels, which a browser draws large and soft. Its colours have
five bits, so that it packs well.
"""

from __future__ import annotations

import base64
import struct
import zlib
from itertools import pairwise

MAX_BYTES = 1024
_LARGEST, _SMALLEST = 32, 4
_HEAD = "data:image/png;base64,"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _RGBA = 2, 6


def data_uri(rgba: bytes, width: int, height: int) -> str:
    """Return the largest such picture of a small one, 4 bytes a pixel, that fits."""
    longest = max(width, height)
    for side in range(min(_LARGEST, longest), _SMALLEST - 1, -2):
        size = (max(1, width * side // longest), max(1, height * side // longest))
        text = _HEAD + base64.b64encode(_png(rgba, (width, height), size)).decode()
        if len(text) <= MAX_BYTES:
            break
    return text


def _png(rgba: bytes, source: tuple[int, int], size: tuple[int, int]) -> bytes:
    """Return a PNG of that size; the format is ISO/IEC 15948."""
    rows = _shrunk(rgba, source, size)
    clear = any(pixel[3] < 255 for row in rows for pixel in row)
    channels, kind = (4, _RGBA) if clear else (3, _RGB)
    lines = [bytes(v for pixel in row for v in pixel[:channels]) for row in rows]
    # Every line says how it differs: here from the pixel to its left (filter 1).
    data = b"".join(b"\1" + _steps(line, channels) for line in lines)
    head = struct.pack(">IIBBBBB", *size, 8, kind, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _steps(line: bytes, channels: int) -> bytes:
    before = bytes(channels) + line
    return bytes((a - b) & 255 for a, b in zip(line, before, strict=False))


def _shrunk(
    rgba: bytes, source: tuple[int, int], size: tuple[int, int]
) -> list[list[tuple[int, ...]]]:
    """Return rows of pixels, each the mean of the area that it stands for."""
    across, down = _areas(source[0], size[0]), _areas(source[1], size[1])
    return [
        [_mean(rgba, source[0], columns, lines) for columns in across] for lines in down
    ]


def _areas(full: int, count: int) -> list[range]:
    edges = [place * full // count for place in range(count + 1)]
    return [range(a, max(a + 1, b)) for a, b in pairwise(edges)]


def _mean(rgba: bytes, width: int, columns: range, lines: range) -> tuple[int, ...]:
    many = len(columns) * len(lines)
    starts = [4 * (y * width + x) for y in lines for x in columns]
    red, green, blue, alpha = (
        sum(rgba[at + k] for at in starts) / many for k in range(4)
    )
    # Five bits of a colour, so that 0 stays 0 and 255 stays 255.
    return *(round(round(v / 255 * 31) * 255 / 31) for v in (red, green, blue)), round(
        alpha
    )
