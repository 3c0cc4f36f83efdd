"""Read a BIF archive by Roku's published layout, and by nothing of ours.

The layout (developer.roku.com, "BIF file specification", version 0): all numbers are
little-endian and of 32 bits. Bytes 0 to 7 are the magic number, then come the version,
the number of images N, and the milliseconds of one unit of a timestamp, where 0 means
1000. Bytes 20 to 63 are reserved and 0. From 64 on, N + 1 pairs of timestamp and offset
follow. The timestamp of the last pair is 0xffffffff, its offset the end of the file. An
image ends where the next one begins.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

MAGIC = bytes((0x89, 0x42, 0x49, 0x46, 0x0D, 0x0A, 0x1A, 0x0A))
_HEADER, _PAIR, _END = 64, 8, 0xFFFFFFFF


@dataclass(frozen=True)
class BifImage:
    """One image: when it is shown, in milliseconds, and its JPEG."""

    milliseconds: int
    body: bytes


def read(archive: bytes) -> list[BifImage]:
    """Return the images; raise ValueError for anything that the layout forbids."""
    if archive[:8] != MAGIC:
        raise ValueError(f"the magic number is {archive[:8].hex()}")
    version, count, unit = struct.unpack_from("<3I", archive, 8)
    if version != 0:
        raise ValueError(f"the version is {version}")
    if any(archive[20:_HEADER]) or len(archive) < _HEADER:
        raise ValueError("a reserved byte is not 0")
    pairs = list(
        struct.iter_unpack("<2I", archive[_HEADER : _HEADER + _PAIR * (count + 1)])
    )
    if len(pairs) != count + 1 or pairs[-1] != (_END, len(archive)):
        raise ValueError("the index does not end with the end of the file")
    if pairs[0][1] != _HEADER + _PAIR * (count + 1):
        raise ValueError("something lies between the index and the first image")
    found = []
    for (stamp, start), (later, end) in pairwise(pairs):
        if stamp >= later or start >= end:
            raise ValueError(f"stamp {stamp} or offset {start} is not in order")
        found.append(BifImage(stamp * (unit or 1000), archive[start:end]))
    return found
