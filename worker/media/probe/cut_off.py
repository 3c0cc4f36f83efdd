"""Find out whether a file was cut off: whether its own lengths reach past its end.

An upload or a copy that stops early leaves a file that often still opens, because its
index or header comes first. Most containers state how long their outermost parts are,
and the last of these parts then ends after the file. MPEG streams and raw streams state
no such length, and an MP4 in fragments does not state how many there are. No stated
length is trusted for anything but this comparison.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

# Bounds the time for a file of tiny parts; what follows is taken to be whole.
_MOST_PARTS = 1_000_000
_BOXES = (b"moov", b"mdat", b"moof")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_CLUSTER = b"\x1f\x43\xb6\x75"
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
_ASF_DATA = b"\x36\x26\xb2\x75\x8e\x66\xcf\x11"
_FLV_HEAD, _FLV_TAG, _FLV_BACK = 9, 11, 4
_FLV_KINDS = (b"\x08", b"\x09", b"\x12")
_PNG_HEAD, _PNG_AROUND = 8, 12
_GIF_HEAD, _GIF_IMAGE = 13, 10
_OGG_HEAD = 27
_MXF, _MXF_KEY = b"\x06\x0e\x2b\x34", 16


def is_cut_off(path: Path, samples_end: int = 0) -> bool:
    """Return True if the file ends before a part of it that it announces.

    ``samples_end`` is the offset in bytes where the last sample in the container's
    index ends, 0 if there is no index.
    """
    size = path.stat().st_size
    if not size:
        return False
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        return max(samples_end, _stated_end(data)) > size


def _stated_end(data: mmap.mmap) -> int:
    """Return the offset where the last announced part ends, 0 if none is announced."""
    for is_kind, ends in _KINDS:
        if is_kind(data[:16]):
            return max(islice(ends(data), _MOST_PARTS), default=0)
    return 0


def _box_ends(data: mmap.mmap) -> Iterator[int]:
    """Yield where the outermost boxes of an MP4 end (ISO/IEC 14496-12, 4.2).

    Bytes behind the last box that are no box would announce any length.
    """
    at = 0
    while at + 8 <= len(data):
        size, kind = _big(data, at, 4), data[at + 4 : at + 8]
        if size == 1:
            size = _big(data, at + 8, 8)
        if size < 8 or (at + size > len(data) and kind not in _BOXES):
            return
        at += size
        yield at


def _element_ends(data: mmap.mmap) -> Iterator[int]:
    """Yield where the elements of a Matroska file end (RFC 8794, RFC 9559).

    A live recording states no length for its segment, and maybe none for its clusters;
    then their contents are read.
    """
    at = 0
    while at + 4 < len(data):
        first = data[at]
        wide = 9 - first.bit_length()
        name = data[at : at + wide]
        at += wide
        size, wide = _element_size(data, at)
        at += wide
        if size is None and name not in (_SEGMENT, _CLUSTER):
            return
        at += size or 0
        yield at


def _element_size(data: mmap.mmap, at: int) -> tuple[int | None, int]:
    """Return the length at an offset and its size in bytes; None if it is unknown."""
    first = data[at] if at < len(data) else 0
    if not first:
        return None, 1
    wide = 9 - first.bit_length()
    unknown = (1 << 7 * wide) - 1
    size = _big(data, at, wide) & unknown
    return (None if size == unknown else size), wide


def _riff_ends(data: mmap.mmap) -> Iterator[int]:
    """Yield where the outermost chunks of an AVI or a WebP end.

    A recorder that was stopped leaves 0 or the largest number as the length. The byte
    that fills up an odd chunk may be missing at the end.
    """
    at = 0
    while data[at : at + 4] == b"RIFF":
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if size in (0, 0xFFFFFFFF):
            return
        yield at + 8 + size
        at += 8 + size + size % 2


def _tag_ends(data: mmap.mmap) -> Iterator[int]:
    """Yield where the tags of an FLV file end, without the length behind each."""
    at = _FLV_HEAD + _FLV_BACK
    while at + 4 <= len(data) and data[at : at + 1] in _FLV_KINDS:
        end = at + _FLV_TAG + _big(data, at + 1, 3)
        yield end
        at = end + _FLV_BACK


def _object_ends(data: mmap.mmap) -> Iterator[int]:
    """Yield where the header and the data of an ASF file end."""
    at = 0
    while data[at : at + 8] in (_ASF, _ASF_DATA):
        size = int.from_bytes(data[at + 16 : at + 24], "little")
        if size < 24:
            return
        at += size
        yield at


def _page_ends(data: mmap.mmap) -> Iterator[int]:
    """Yield where the last page of an Ogg file ends (RFC 3533, 6)."""
    at = data.rfind(b"OggS")
    lengths = at + _OGG_HEAD
    if lengths > len(data):
        yield lengths
        return
    table = data[lengths : lengths + data[lengths - 1]]
    yield lengths + data[lengths - 1] + sum(table)


def _triplet_ends(data: mmap.mmap) -> Iterator[int]:
    """Yield where the triplets of key, length and value of an MXF end (SMPTE 377-1)."""
    at = 0
    while data[at : at + 4] == _MXF and at + _MXF_KEY < len(data):
        at += _MXF_KEY
        size, at = data[at], at + 1
        if size > 0x80:
            wide = size & 0x7F
            size, at = _big(data, at, wide), at + wide
        at += size
        yield at


def _png_ends(data: mmap.mmap) -> Iterator[int]:
    """Yield where the chunks of a PNG end."""
    at, kind = _PNG_HEAD, b""
    while at + 8 <= len(data) and kind != b"IEND":
        kind = data[at + 4 : at + 8]
        at += _PNG_AROUND + _big(data, at, 4)
        yield at


def _gif_ends(data: mmap.mmap) -> Iterator[int]:
    """Yield where the blocks of a GIF end; some encoders leave out the last byte."""
    at = _GIF_HEAD + _colours(data, 10)
    while at < len(data):
        if data[at] == 0x2C:
            at += _GIF_IMAGE + _colours(data, at + 9) + 1
        elif data[at] == 0x21:
            at += 2
        else:
            return
        while at < len(data) and data[at]:
            at += 1 + data[at]
            yield at
        at += 1
        yield at


def _colours(data: mmap.mmap, at: int) -> int:
    """Return the bytes of the colour table that the flags at an offset announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _big(data: mmap.mmap, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


_KINDS: tuple[
    tuple[Callable[[bytes], bool], Callable[[mmap.mmap], Iterator[int]]], ...
] = (
    (
        lambda head: head[4:8] in (b"ftyp", b"styp", b"free", b"wide", *_BOXES),
        _box_ends,
    ),
    (lambda head: head[:4] == _EBML, _element_ends),
    (lambda head: head[:4] == b"RIFF", _riff_ends),
    (lambda head: head[:3] == b"FLV", _tag_ends),
    (lambda head: head[:8] == _ASF, _object_ends),
    (lambda head: head[:4] == b"OggS", _page_ends),
    (lambda head: head[:4] == _MXF, _triplet_ends),
    (lambda head: head[:4] == b"\x89PNG", _png_ends),
    (lambda head: head[:4] == b"GIF8", _gif_ends),
)
