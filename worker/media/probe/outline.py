"""Compare a file with the lengths that its outermost parts state, in one walk.

A file that was cut off: an upload or a copy that stops early often still opens, because
its index or header comes first. Most containers state how long their outermost parts
are, and the last of these parts then ends after the file. MPEG streams and raw streams
state no such length, and an MP4 in fragments does not state how many there are.

A second file that was appended to the first, as ``cat`` joins files: FFmpeg reads on
into a second Matroska file, whose clock restarts. It stops at a second FLV file and at
a second index of an MP4. A file that is not read to its end shows neither.

No stated length is trusted for anything but these comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from worker.media.probe import fragments
from worker.media.source_file import SourceBytes, SourceFile

# The kind of a part, where it starts, and where it says that it ends.
Part = tuple[bytes, int, int]
SecondFile = Literal["read", "restarts", "hidden"]

# Bounds the time for a file of tiny parts; what follows is taken to be whole.
_MOST_PARTS = 1_000_000
_BOXES = (b"moov", b"mdat", b"moof")
# Boxes that a file may begin with, as FFmpeg's demuxer knows them.
_FIRST_BOXES = (
    *(b"ftyp", b"styp", b"free", b"wide", b"skip", b"pnot", b"uuid"),
    *(b"junk", b"pict", b"prfl", b"udta", *_BOXES),
)
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_CLUSTER = b"\x1f\x43\xb6\x75"
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
_ASF_DATA = b"\x36\x26\xb2\x75\x8e\x66\xcf\x11"
_FLV, _FLV_HEAD, _FLV_TAG, _FLV_BACK = b"FLV\x01", 9, 11, 4
_FLV_KINDS = (8, 9, 18)
_PNG, _PNG_HEAD, _PNG_AROUND = b"\x89PNG", 8, 12
_GIF, _GIF_HEAD, _GIF_IMAGE = b"GIF8", 13, 10
_OGG, _OGG_HEAD = b"OggS", 27
_RIFF = b"RIFF"
_MXF, _MXF_KEY = b"\x06\x0e\x2b\x34", 16
# The parts that show where a second file begins.
_LANDMARKS = (b"ftyp", b"moov", b"moof", _FLV, _EBML)


@dataclass(frozen=True)
class Outline:
    """``cut_off`` says that the file ends before a part that it announces.

    ``second_file`` says what FFmpeg does with an appended file: "read" means that it
    reads it, "restarts" that its clock also starts again, "hidden" that FFmpeg stops
    before it; None if there is no second file.
    """

    cut_off: bool = False
    second_file: SecondFile | None = None


def read(source: SourceFile, samples_end: int = 0) -> Outline:
    """Return what the lengths in the file show.

    ``samples_end`` is the offset in bytes where the last sample in the container's
    index ends, 0 if there is no index. Raises what ``source.ensure`` raises.
    """
    size = source.path.stat().st_size
    if not size:
        return Outline()
    with closing(SourceBytes(source)) as data:
        last, landmarks = samples_end, []
        for part in islice(_parts(data), _MOST_PARTS):
            last = max(last, part[2])
            if part[0] in _LANDMARKS:
                landmarks.append(part)
        return Outline(last > size, _second_file(data, landmarks))


def _parts(data: SourceBytes) -> Iterator[Part]:
    """Yield the outermost parts; none of a file that states no lengths."""
    for is_kind, parts in _KINDS:
        if is_kind(data[:16]):
            return parts(data)
    return iter(())


def _second_file(data: SourceBytes, landmarks: list[Part]) -> SecondFile | None:
    kinds = [kind for kind, _, _ in landmarks]
    if kinds.count(_EBML) > 1:
        return "read"
    if kinds.count(_FLV) > 1:
        return "hidden"
    return _second_mp4(data, landmarks) if kinds.count(b"ftyp") > 1 else None


def _second_mp4(
    data: SourceBytes, boxes: list[Part]
) -> Literal["restarts", "hidden"] | None:
    """Return how FFmpeg treats a second index after a second header, None if none.

    Fragments of a second file are read; if their clock continues, it is one film.
    """
    kinds = [kind for kind, _, _ in boxes]
    second = kinds.index(b"ftyp", kinds.index(b"ftyp") + 1)
    if b"moov" not in kinds[:second] or b"moov" not in kinds[second:]:
        return None
    if b"moof" not in kinds:
        return "hidden"
    before, after = (
        [box for box in part if box[0] == b"moof"]
        for part in (boxes[:second], boxes[second:])
    )
    if not before or not after:
        return None
    goes_back = _fragment_time(data, after[0]) < _fragment_time(data, before[-1])
    return "restarts" if goes_back else None


def _fragment_time(data: SourceBytes, box: Part) -> int:
    """Return when a fragment's first track is decoded, in its ticks; 0 if unknown."""
    at = data.find(b"tfdt", *box[1:])
    if at < 0:
        return 0
    return _big(data, at + 8, 8 if _big(data, at + 4, 1) else 4)


def _boxes(data: SourceBytes) -> Iterator[Part]:
    """Yield the outermost boxes of an MP4 (ISO/IEC 14496-12, 4.2).

    Bytes behind the last box that are no box would announce any length. Where an index
    lists the fragments, those between the first and the last are left out: a film of an
    hour has thousands, all over the file.
    """
    at, seen = 0, 0
    while at + 8 <= len(data):
        size, kind = _big(data, at, 4), data[at + 4 : at + 8]
        if size == 1:
            size = _big(data, at + 8, 8)
        if size < 8 or (at + size > len(data) and kind not in _BOXES):
            return
        yield kind, at, at + size
        at += size
        if kind == b"sidx" and not seen:
            at = max(at, _last_of_sidx(data, at - size, at))
        elif kind == b"moof":
            seen += 1
            if seen == 1:
                at = max(at, fragments.last(data))


def _last_of_sidx(data: SourceBytes, start: int, end: int) -> int:
    """Return where the last part that a segment index lists begins, 0 if unknown.

    That is ISO/IEC 14496-12, 8.16.3: references of 12 bytes, each with a length.
    """
    wide = 8 if _big(data, start + 8, 1) else 4
    at = start + 20 + 2 * wide
    count, at = _big(data, at + 2, 2), at + 4
    lengths = data[at : at + 12 * count]
    if not count or at + 12 * count > end:
        return 0
    # The first bit says that the part is an index again.
    sizes = [
        int.from_bytes(lengths[one : one + 4], "big") & 0x7FFFFFFF
        for one in range(0, 12 * count, 12)
    ]
    last = end + _big(data, start + 20 + wide, wide) + sum(sizes[:-1])
    return last if data[last + 4 : last + 8] in (b"moof", b"styp") else 0


def _elements(data: SourceBytes) -> Iterator[Part]:
    """Yield the outermost elements of a Matroska file (RFC 8794, RFC 9559).

    A live recording states no length for its segment, and maybe none for its clusters;
    then their contents are read.
    """
    at = 0
    while at + 4 < len(data):
        start, first = at, data[at]
        wide = 9 - first.bit_length()
        name = data[at : at + wide]
        at += wide
        size, wide = _element_size(data, at)
        at += wide
        if size is None and name not in (_SEGMENT, _CLUSTER):
            return
        at += size or 0
        yield name, start, at


def _element_size(data: SourceBytes, at: int) -> tuple[int | None, int]:
    """Return the length at an offset and its size in bytes; None if it is unknown."""
    first = data[at] if at < len(data) else 0
    if not first:
        return None, 1
    wide = 9 - first.bit_length()
    unknown = (1 << 7 * wide) - 1
    size = _big(data, at, wide) & unknown
    return (None if size == unknown else size), wide


def _chunks(data: SourceBytes) -> Iterator[Part]:
    """Yield the outermost chunks of an AVI or a WebP.

    A recorder that was stopped leaves 0 or the largest number as the length. The byte
    that fills up an odd chunk may be missing at the end.
    """
    at = 0
    while data[at : at + 4] == _RIFF:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if size in (0, 0xFFFFFFFF):
            return
        yield _RIFF, at, at + 8 + size
        at += 8 + size + size % 2


def _flv_files(data: SourceBytes) -> Iterator[Part]:
    """Yield an FLV file up to its last tag, without the length behind that.

    Of a file that follows, only the header is read.
    """
    at = _FLV_HEAD + _FLV_BACK
    end = 0
    for _ in range(_MOST_PARTS):
        word = _big(data, at, 4)
        if word >> 24 not in _FLV_KINDS or at + 4 > len(data):
            break
        end = at + _FLV_TAG + (word & 0xFFFFFF)
        at = end + _FLV_BACK
    yield _FLV, 0, end
    if end and data[at : at + len(_FLV)] == _FLV:
        yield _FLV, at, at + _FLV_HEAD


def _objects(data: SourceBytes) -> Iterator[Part]:
    """Yield the header and the data of an ASF file."""
    at = 0
    while data[at : at + 8] in (_ASF, _ASF_DATA):
        size = int.from_bytes(data[at + 16 : at + 24], "little")
        if size < 24:
            return
        yield _ASF, at, at + size
        at += size


def _last_page(data: SourceBytes) -> Iterator[Part]:
    """Yield the last page of an Ogg file (RFC 3533, 6)."""
    at = data.rfind(_OGG)
    end = at + _OGG_HEAD
    if end <= len(data):
        count = data[end - 1]
        end += count + sum(data[end : end + count])
    yield _OGG, at, end


def _triplets(data: SourceBytes) -> Iterator[Part]:
    """Yield the triplets of key, length and value of an MXF (SMPTE 377-1)."""
    at = 0
    while data[at : at + 4] == _MXF and at + _MXF_KEY < len(data):
        start, at = at, at + _MXF_KEY
        size, at = data[at], at + 1
        if size > 0x80:
            wide = size & 0x7F
            size, at = _big(data, at, wide), at + wide
        at += size
        yield _MXF, start, at


def _png_chunks(data: SourceBytes) -> Iterator[Part]:
    """Yield the chunks of a PNG."""
    at, kind = _PNG_HEAD, b""
    while at + 8 <= len(data) and kind != b"IEND":
        kind = data[at + 4 : at + 8]
        start, at = at, at + _PNG_AROUND + _big(data, at, 4)
        yield _PNG, start, at


def _gif_blocks(data: SourceBytes) -> Iterator[Part]:
    """Yield the blocks of a GIF; some encoders leave out the last byte."""
    at = _GIF_HEAD + _colours(data, 10)
    while at < len(data):
        start = at
        if data[at] == 0x2C:
            at += _GIF_IMAGE + _colours(data, at + 9) + 1
        elif data[at] == 0x21:
            at += 2
        else:
            return
        while at < len(data) and data[at]:
            at += 1 + data[at]
            yield _GIF, start, at
        at += 1
        yield _GIF, start, at


def _colours(data: SourceBytes, at: int) -> int:
    """Return the bytes of the colour table that the flags at an offset announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _big(data: SourceBytes, at: int, size: int) -> int:
    """Return the number in ``size`` bytes; without those after the end."""
    return int.from_bytes(data[at : at + size], "big")


_KINDS: tuple[
    tuple[Callable[[bytes], bool], Callable[[SourceBytes], Iterator[Part]]], ...
] = (
    (lambda head: head[4:8] in _FIRST_BOXES, _boxes),
    (lambda head: head[:4] == _EBML, _elements),
    (lambda head: head[:4] == _RIFF, _chunks),
    (lambda head: head[:4] == _FLV, _flv_files),
    (lambda head: head[:8] == _ASF, _objects),
    (lambda head: head[:4] == _OGG, _last_page),
    (lambda head: head[:4] == _MXF, _triplets),
    (lambda head: head[:4] == _PNG, _png_chunks),
    (lambda head: head[:4] == _GIF, _gif_blocks),
)
