"""Change boxes of MP4 files to what FFmpeg's muxer would not write."""

from __future__ import annotations

import struct

_AROUND = (b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov")


def into_sample_entry(moving: bytes, codec: bytes, box: bytes) -> bytes:
    """Append a box to the first sample entry, of that codec; moov comes last."""
    entry = moving.index(codec, moving.index(b"stsd"))
    data = bytearray(moving)
    place = entry - 4 + struct.unpack(">I", data[entry - 4 : entry])[0]
    at = entry
    for name in (codec, *_AROUND):
        at = data.rindex(name, 0, at + 4)
        size = struct.unpack(">I", data[at - 4 : at])[0]
        data[at - 4 : at] = struct.pack(">I", size + len(box))
    data[place:place] = box
    return bytes(data)


def with_keyframes(moving: bytes, *samples: int) -> bytes:
    """Let the index (``stss``) name other samples, counted from 1, as keyframes."""
    place = moving.index(b"stss") + 12
    (count,) = struct.unpack(">I", moving[place - 4 : place])
    assert count == len(samples), f"the index has {count} keyframes"
    data = bytearray(moving)
    data[place : place + 4 * count] = struct.pack(f">{count}I", *samples)
    return bytes(data)
