"""Find the streams of an MP4 or HEIF file that form one picture, from its boxes.

A phone's photo is a grid of tiles, and transparency is a picture or track beside the
one it belongs to. FFmpeg exposes each as a stream, and PyAV 18 does not say how they
belong together. Sources: ISO/IEC 14496-12 (boxes, ``tref``), 23008-12 (``grid``,
``iovl``, ``auxC``, ``irot``, ``imir``), 23000-22 (``clap`` of an item).

No length is trusted: boxes are read within their parents, items up to
:data:`_MOST_BYTES`. A file that breaks the rules has no assembly.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from worker.media.source_file import SourceFile, open_source

_MOST_BYTES = 4 * 1024 * 1024
_MOST_BOXES = 10_000
_DEEPEST = 3
_ALPHA = (b"auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_MOST_SIDE = 65_535


@dataclass(frozen=True)
class PlacedImage:
    """A stream's picture, by the id of its item or track, and its place on a canvas."""

    id: int
    x: int = 0
    y: int = 0


@dataclass(frozen=True)
class DerivedImage:
    """A picture made of others: its size in pixels, and the pictures on it."""

    width: int
    height: int
    parts: tuple[PlacedImage, ...]


@dataclass(frozen=True)
class PrimaryImage:
    """The primary item of a HEIF file.

    ``canvas`` is None if the item is coded as one picture. ``matrix`` is the
    orientation as FFmpeg writes it (a, b, c, d of the display matrix, each -1, 0 or 1).
    ``crop`` is the rectangle that is kept: width, height, x and y of its upper left
    pixel. ``alpha`` holds the pictures of its transparency.
    """

    id: int
    canvas: DerivedImage | None = None
    matrix: tuple[int, int, int, int] = (1, 0, 0, 1)
    crop: tuple[int, int, int, int] | None = None
    alpha: DerivedImage | None = None


@dataclass(frozen=True)
class Assembly:
    """The ``picture`` that the file's items form, and its tracks' transparency.

    ``alpha_tracks`` maps the id of a track to that of its alpha track.
    """

    picture: PrimaryImage | None = None
    alpha_tracks: dict[int, int] = field(default_factory=dict)


def read(source: SourceFile) -> Assembly:
    """Return how the streams of a file belong together; empty if it does not say."""
    try:
        with open_source(source) as file:
            return _read(file, source.path.stat().st_size)
    except (struct.error, ValueError, IndexError, KeyError):
        return Assembly()


def _read(file: BinaryIO, size: int) -> Assembly:
    found = Assembly()
    for kind, start, end in walk(file, 0, size):
        if kind == b"meta" and end - start <= _MOST_BYTES:
            file.seek(start)
            found = replace(found, picture=_Items(file.read(end - start), file).read())
        elif kind == b"moov":
            found = replace(found, alpha_tracks=_alpha_tracks(file, start, end))
        elif kind == b"moof":
            break  # fragments follow the header, and a film has thousands
    return found


def walk(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the contents of the boxes between two offsets."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        file.seek(start)
        head = file.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        body = start + 8
        if length == 1:
            (length,) = struct.unpack(">Q", head[8:16])
            body = start + 16
        until = end if length == 0 else min(start + length, end)
        if until < body:
            return
        yield kind, body, until
        start = until


def _alpha_tracks(file: BinaryIO, start: int, end: int) -> dict[int, int]:
    found = {}
    for kind, begin, until in walk(file, start, end):
        if kind != b"trak":
            continue
        boxes = {
            kind: (begin, until) for kind, begin, until in walk(file, begin, until)
        }
        if b"tref" not in boxes or b"tkhd" not in boxes or b"mdia" not in boxes:
            continue
        main = _reference(file, *boxes[b"tref"])
        if main is not None and _is_alpha(file, *boxes[b"mdia"]):
            found[main] = _track_id(file, boxes[b"tkhd"][0])
    return found


def _reference(file: BinaryIO, start: int, end: int) -> int | None:
    """Return the id of the track that this one is auxiliary to."""
    for kind, begin, _ in walk(file, start, end):
        if kind == b"auxl":
            file.seek(begin)
            return int.from_bytes(file.read(4), "big")
    return None


def _track_id(file: BinaryIO, start: int) -> int:
    file.seek(start)
    head = file.read(24)
    at = 20 if head[0] == 1 else 12
    return int.from_bytes(head[at : at + 4], "big")


def _is_alpha(file: BinaryIO, start: int, end: int) -> bool:
    """Return True if a track's sample entry says that it is alpha (``auxi``)."""
    for name in (b"minf", b"stbl", b"stsd"):
        places = [(a, b) for kind, a, b in walk(file, start, end) if kind == name]
        if not places:
            return False
        start, end = places[0]
    file.seek(start)
    entry = file.read(min(end - start, _MOST_BYTES))
    return any(urn in entry for urn in _ALPHA)


class _Bytes:
    """Unsigned big-endian numbers, read one after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, size: int) -> int:
        if self.at + size > len(self.data):
            raise ValueError("a box ends inside a number")
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")

    def boxes(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield type and contents of the remaining boxes."""
        while self.at + 8 <= len(self.data):
            length, kind = self.number(4), self.data[self.at : self.at + 4]
            if length < 8:
                raise ValueError("a box is shorter than its header")
            yield kind, self.data[self.at + 4 : self.at + length - 4]
            self.at += length - 4


class _Items:
    """The items of a ``meta`` box, and the references between them."""

    def __init__(self, meta: bytes, file: BinaryIO) -> None:
        boxes = dict(_Bytes(meta[4:]).boxes())
        self._file = file
        self._idat = boxes.get(b"idat", b"")
        self._primary = _primary(boxes.get(b"pitm", b""))
        self._kinds = _kinds(boxes.get(b"iinf", b""))
        self._references = list(_references(boxes.get(b"iref", b"")))
        self._properties = _properties(boxes.get(b"iprp", b""))
        self._places = _places(boxes.get(b"iloc", b""))

    def read(self) -> PrimaryImage | None:
        """Return the primary item."""
        item = self._primary
        if item not in self._kinds:
            return None
        kinds = {kind for kind, _, _ in self._references}
        alpha = self._alpha(item) if b"auxl" in kinds else None
        canvas = self._canvas(item)
        size = (canvas.width, canvas.height) if canvas else self._size(item)
        matrix, crop = _shown(self._properties.get(item, []), size)
        return PrimaryImage(item, canvas, matrix, crop, alpha)

    def _alpha(self, item: int) -> DerivedImage | None:
        for kind, one, others in self._references:
            if kind != b"auxl" or item not in others:
                continue
            for name, body in self._properties.get(one, []):
                if name == b"auxC" and any(urn in body for urn in _ALPHA):
                    return self._canvas(one) or DerivedImage(
                        *self._size(one), (PlacedImage(one),)
                    )
        return None

    def _size(self, item: int) -> tuple[int, int]:
        for name, body in self._properties.get(item, []):
            if name == b"ispe":
                width, height = struct.unpack(">II", body[4:12])
                return width, height
        raise ValueError("an item has no size")

    def _canvas(self, item: int, depth: int = 0) -> DerivedImage | None:
        """Return what a derived item is made of; None for a coded one."""
        kind = self._kinds[item]
        inputs = self._inputs(item)
        if kind not in (b"grid", b"iovl", b"iden") or not inputs or depth > _DEEPEST:
            return None
        if kind == b"iden":
            below = self._canvas(inputs[0], depth + 1)
            return below or DerivedImage(
                *self._size(inputs[0]), (PlacedImage(inputs[0]),)
            )
        data = _Bytes(self._data(item))
        return self._grid(data, inputs) if kind == b"grid" else _overlay(data, inputs)

    def _inputs(self, item: int) -> tuple[int, ...]:
        found = (
            to for kind, one, to in self._references if (kind, one) == (b"dimg", item)
        )
        return next(found, ())

    def _grid(self, data: _Bytes, inputs: tuple[int, ...]) -> DerivedImage:
        data.number(1)
        wide = 4 if data.number(1) & 1 else 2
        rows, columns = data.number(1) + 1, data.number(1) + 1
        size = data.number(wide), data.number(wide)
        if rows * columns != len(inputs):
            raise ValueError("a grid has a different number of tiles than of places")
        width, height = self._size(inputs[0])
        places = (
            PlacedImage(one, n % columns * width, n // columns * height)
            for n, one in enumerate(inputs)
        )
        return DerivedImage(*size, tuple(places))

    def _data(self, item: int) -> bytes:
        method, offset, length = self._places[item]
        if length > _MOST_BYTES:
            raise ValueError("a derived item is too long")
        if method == 1:
            return self._idat[offset : offset + length]
        self._file.seek(offset)
        return self._file.read(length)


def _primary(box: bytes) -> int:
    data = _Bytes(box)
    return 0 if not box else data.number(4) * 0 + data.number(4 if box[0] else 2)


def _kinds(box: bytes) -> dict[int, bytes]:
    """Return the type of each item."""
    found: dict[int, bytes] = {}
    if not box:
        return found
    data = _Bytes(box)
    data.at = 4 + (4 if box[0] else 2)
    for kind, body in data.boxes():
        if kind == b"infe" and body[0] >= 2:
            entry = _Bytes(body)
            entry.at = 4
            item = entry.number(2 if body[0] == 2 else 4)
            found[item] = body[entry.at + 2 : entry.at + 6]
    return found


def _references(box: bytes) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    """Yield type, item, and the items it refers to."""
    if not box:
        return
    data = _Bytes(box)
    data.at = 4
    wide = 4 if box[0] else 2
    for kind, body in data.boxes():
        entry = _Bytes(body)
        item, count = entry.number(wide), entry.number(2)
        yield kind, item, tuple(entry.number(wide) for _ in range(count))


def _properties(box: bytes) -> dict[int, list[tuple[bytes, bytes]]]:
    """Return the properties of each item, in their order."""
    boxes = dict(_Bytes(box).boxes())
    all_of_them = list(_Bytes(boxes.get(b"ipco", b"")).boxes())
    found: dict[int, list[tuple[bytes, bytes]]] = {}
    if b"ipma" not in boxes:
        return found
    data = _Bytes(boxes[b"ipma"])
    version, flags = data.number(1), data.number(3)
    for _ in range(data.number(4)):
        item = data.number(4 if version else 2)
        for _ in range(data.number(1)):
            place = data.number(2) & 0x7FFF if flags & 1 else data.number(1) & 0x7F
            if 0 < place <= len(all_of_them):
                found.setdefault(item, []).append(all_of_them[place - 1])
    return found


def _places(box: bytes) -> dict[int, tuple[int, int, int]]:
    """Return where the first extent of each item lies: method, offset, length."""
    found: dict[int, tuple[int, int, int]] = {}
    if not box:
        return found
    data = _Bytes(box)
    version = data.number(4) >> 24
    sizes = data.number(1), data.number(1)
    offset_size, length_size = sizes[0] >> 4, sizes[0] & 15
    base_size, index_size = sizes[1] >> 4, sizes[1] & 15 if version else 0
    for _ in range(data.number(4 if version == 2 else 2)):
        item = data.number(4 if version == 2 else 2)
        method = data.number(2) & 15 if version else 0
        data.number(2)
        base = data.number(base_size)
        for extent in range(data.number(2)):
            data.number(index_size)
            offset, length = data.number(offset_size), data.number(length_size)
            if not extent:
                found[item] = (method, base + offset, length)
    return found


def _overlay(data: _Bytes, inputs: tuple[int, ...]) -> DerivedImage:
    data.number(1)
    wide = 4 if data.number(1) & 1 else 2
    data.number(8)  # the background: red, green, blue and alpha, 16 bits each
    size = data.number(wide), data.number(wide)
    places = [PlacedImage(one, data.number(wide), data.number(wide)) for one in inputs]
    if any(max(one.x, one.y) > _MOST_SIDE // 2 for one in places):
        raise ValueError("a picture lies outside of its canvas")
    return DerivedImage(*size, tuple(places))


def _shown(
    properties: list[tuple[bytes, bytes]], size: tuple[int, int]
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int] | None]:
    """Return orientation and crop by an item's properties, in their order."""
    a, b, c, d = 1, 0, 0, 1
    crop = None
    for name, body in properties:
        if name == b"irot":
            # Quarter turns, counterclockwise.
            for _ in range(body[0] & 3):
                a, b, c, d = b, -a, d, -c
        elif name == b"imir":
            # 0 swaps top and bottom, 1 left and right.
            a, b, c, d = (a, -b, c, -d) if not body[0] & 1 else (-a, b, -c, d)
        elif name == b"clap":
            crop = _aperture(body, size)
    return (a, b, c, d), crop


def _aperture(body: bytes, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return width, height, x and y of a clean aperture within a picture."""
    wn, wd, hn, hd, xn, xd, yn, yd = struct.unpack(">IIIIiIiI", body[:32])
    width, height = round(wn / max(wd, 1)), round(hn / max(hd, 1))
    x = round(xn / max(xd, 1) + (size[0] - width) / 2)
    y = round(yn / max(yd, 1) + (size[1] - height) / 2)
    if min(x, y) < 0 or x + width > size[0] or y + height > size[1]:
        raise ValueError("a clean aperture lies outside of its picture")
    return width, height, x, y
