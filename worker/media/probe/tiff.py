"""The orientation of a TIFF picture, which FFmpeg reads and does not apply.

Of JPEG, PNG, WebP and AVIF it makes a display matrix of the same tag (TIFF 6.0 and
EXIF 2.32, tag 274).
"""

from __future__ import annotations

import struct

from worker.media.source_file import SourceFile, open_source

_HEADS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = 274
_ENTRY = 12
# Cosine and sine of the clockwise turn, and whether it is mirrored before.
_TURNS = {
    2: (1, 0, True),
    3: (-1, 0, False),
    4: (-1, 0, True),
    5: (0, -1, True),
    6: (0, 1, False),
    7: (0, 1, True),
    8: (0, -1, False),
}


def matrix(source: SourceFile) -> list[int] | None:
    """Return the display matrix of the first picture; None where it is upright.

    Nine numbers, as FFmpeg writes them. None, too, where the file breaks the rules.
    """
    with open_source(source) as file:
        head = file.read(8)
        order = _HEADS.get(head[:4])
        if order is None or len(head) < 8:
            return None
        file.seek(struct.unpack(f"{order}I", head[4:])[0])
        count = file.read(2)
        entries = file.read(
            _ENTRY * int.from_bytes(count, "little" if order == "<" else "big")
        )
    for at in range(0, len(entries) - _ENTRY + 1, _ENTRY):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", entries, at)
        if tag == _ORIENTATION:
            return _matrix(value)
    return None


def _matrix(orientation: int) -> list[int] | None:
    if orientation not in _TURNS:
        return None
    cosine, sine, mirrored = _TURNS[orientation]
    flip = -1 if mirrored else 1
    return [flip * cosine, flip * sine, 0, -sine, cosine, 0, 0, 0, 1]
