"""Read what the first bytes of a file show without a decoder.

A few fixed fields are read with :mod:`struct`; no length stated in the file is
followed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from worker.media.source_file import SourceFile, open_source

_HEAD = 1 << 20
# Bytes of a packet of an MPEG transport stream; each begins with "G".
_TS = 188
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (
    (b"#EXTM3U", "an HLS playlist"),
    (b"ffconcat", "an FFmpeg concat script"),
    (b"[playlist]", "a playlist"),
    (b"<MPD", "a DASH manifest"),
    (b"<svg", "an SVG drawing"),
)
_PROTECTED = (b"sinf", b"schm", b"tenc")


@dataclass(frozen=True)
class Sniffed:
    """``text`` names the kind of a text file, ``pixels`` is the size in a header.

    ``protected`` means that the boxes of common encryption (ISO/IEC 23001-7) are in the
    first mebibyte, ``media`` that the file starts like a supported container.
    """

    size: int
    text: str | None
    pixels: tuple[int, int] | None
    media: bool
    protected: bool


def sniff(source: SourceFile) -> Sniffed:
    """Return what the head of a file shows; raise what ``source.ensure`` raises."""
    with open_source(source) as file:
        head = file.read(_HEAD)
    return Sniffed(
        source.path.stat().st_size,
        text_kind(head),
        declared_size(head),
        looks_like_media(head),
        all(mark in head for mark in _PROTECTED),
    )


def declared_size(head: bytes) -> tuple[int, int] | None:
    """Return the size in a GIF, PNG or WebP header, whatever a decoder says."""
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
        return width, height
    if head[:8] == _PNG and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    return _webp_size(head)


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Return the size in a WebP header (RFC 9649); PyAV opens no animated WebP."""
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return None
    if head[12:16] == b"VP8X":
        width = int.from_bytes(head[24:27], "little") + 1
        return width, int.from_bytes(head[27:30], "little") + 1
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", head[26:30])
    return width & 0x3FFF, height & 0x3FFF


def text_kind(head: bytes) -> str | None:
    """Return the kind of a text file, or None."""
    start = head[:2048].lstrip(b"\xef\xbb\xbf \t\r\n")
    for mark, name in _TEXTS:
        if start.startswith(mark) or (mark[:1] == b"<" and mark in start):
            return name
    return None


def looks_like_media(head: bytes) -> bool:
    """Return True if the first bytes are those of a supported container."""
    return (
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"styp", b"moof", b"sidx")
        or head[:4] in (b"\x1aE\xdf\xa3", b"RIFF", b"OggS", b"FLV\x01", b"0&\xb2u")
        or head[:4] == b"GIF8"
        or (len(head) >= _TS and set(head[: 3 * _TS : _TS]) == {0x47})
    )
