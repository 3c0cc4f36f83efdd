"""Write HEIF files of AV1 pictures: what phones make and FFmpeg's muxer does not."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ALPHA = b"\0\0\0\0urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"


@dataclass(frozen=True)
class Item:
    """An item: its type, its bytes, its properties (type and content) in order."""

    kind: bytes
    data: bytes = b""
    properties: tuple[tuple[bytes, bytes], ...] = ()


@dataclass
class Heif:
    """Items, counted from 1, and references (type, item, items); 1 is the primary."""

    items: list[Item] = field(default_factory=list)
    references: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)

    def add(self, item: Item) -> int:
        self.items.append(item)
        return len(self.items)

    def write(self, path: Path) -> Path:
        path.write_bytes(self._bytes())
        return path

    def _bytes(self) -> bytes:
        head = box(b"ftyp", b"mif1", bytes(4), b"mif1avif")
        size = len(head) + len(self._meta(0)) + 8
        mdat = b"".join(item.data for item in self.items)
        return head + self._meta(size) + box(b"mdat", mdat)

    def _meta(self, offset: int) -> bytes:
        infos, places, owned, properties = b"", b"", b"", []
        for number, item in enumerate(self.items, 1):
            infos += full(b"infe", 2, struct.pack(">HH4sx", number, 0, item.kind))
            places += struct.pack(">HHHII", number, 0, 1, offset, len(item.data))
            offset += len(item.data)
            owned += struct.pack(">HB", number, len(item.properties))
            for name, body in item.properties:
                properties.append(box(name, body))
                owned += bytes([len(properties)])
        references = b"".join(
            box(kind, struct.pack(f">HH{len(to)}H", one, len(to), *to))
            for kind, one, to in self.references
        )
        count = len(self.items)
        return full(
            b"meta",
            0,
            full(b"hdlr", 0, bytes(4) + b"pict" + bytes(13)),
            full(b"pitm", 0, struct.pack(">H", 1)),
            full(b"iinf", 0, struct.pack(">H", count), infos),
            full(b"iref", 0, references),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full(b"ipma", 0, struct.pack(">I", count), owned),
            ),
            full(b"iloc", 0, struct.pack(">BBH", 0x44, 0, count), places),
        )


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def full(kind: bytes, version: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">B3x", version), *parts)


def size(width: int, height: int) -> tuple[bytes, bytes]:
    return b"ispe", struct.pack(">4xII", width, height)


def grid(rows: int, columns: int, width: int, height: int, *more) -> Item:
    """A grid of tiles, given by ``dimg`` row by row; what is over is cut off."""
    data = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    return Item(b"grid", data, (size(width, height), *more))


def overlay(width: int, height: int, *places: tuple[int, int]) -> Item:
    """Pictures at places of a black canvas."""
    data = struct.pack(">BB4HHH", 0, 0, 0, 0, 0, 65535, width, height)
    data += b"".join(struct.pack(">hh", *place) for place in places)
    return Item(b"iovl", data, (size(width, height),))


def coded(ffmpeg: str, folder: Path, source: str, pixels: str, *more) -> Item:
    """A picture of one of FFmpeg's generators, coded without loss."""
    path = folder / "tile.avif"
    words = ["-frames:v", "1", "-c:v", "libaom-av1", "-aom-params", "lossless=1"]
    words += ["-cpu-used", "8", "-pix_fmt", pixels, "-y", str(path)]
    argv = [ffmpeg, "-v", "error", "-nostdin", "-f", "lavfi", "-i", source, *words]
    subprocess.run(argv, check=True, timeout=60)
    avif = path.read_bytes()
    properties = (
        (b"av1C", _content(avif, b"av1C")),
        (b"ispe", _content(avif, b"ispe")),
        *more,
    )
    return Item(b"av01", _content(avif, b"mdat"), properties)


def _content(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind)
    (length,) = struct.unpack(">I", data[at - 4 : at])
    return data[at + 4 : at - 4 + length]
