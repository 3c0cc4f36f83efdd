"""Pack pictures into one file for a player: a BIF archive or a ZIP, in the sandbox.

:func:`main` runs in a process of its own, like :mod:`worker.media.probe.child`. It
holds one picture in memory at a time.
"""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

# developer.roku.com, "BIF file specification", version 0. Numbers are little-endian.
_MAGIC = b"\x89BIF\r\n\x1a\n"
_HEADER, _PAIR, _END = 64, 8, 0xFFFFFFFF
# The earliest date that a ZIP can state: the same pictures give the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


def main(words: Sequence[str]) -> None:
    """Write the archive ``words[1]`` of the kind ``words[0]``: "bif" or "zip".

    The text file ``words[2]`` lists its pictures as JSON pairs of file and place. In a
    BIF the place is the timestamp, whose unit is ``words[3]`` milliseconds. In a ZIP it
    is the path.
    """
    kind, file, listing, *unit = words
    pictures = [tuple(one) for one in json.loads(Path(listing).read_text())]
    if kind == "zip":
        _zip(Path(file), pictures)
    else:
        _bif(Path(file), pictures, int(unit[0]))


def _bif(archive: Path, pictures: Sequence[tuple[str, int]], unit: int) -> None:
    """Write pictures and their timestamps by Roku's layout."""
    offset = _HEADER + _PAIR * (len(pictures) + 1)
    index = [(stamp, Path(file).stat().st_size) for file, stamp in pictures]
    with archive.open("wb") as out:
        head = _MAGIC + struct.pack("<3I", 0, len(pictures), unit)
        out.write(head.ljust(_HEADER, b"\0"))
        for stamp, size in [*index, (_END, 0)]:
            out.write(struct.pack("<2I", stamp, offset))
            offset += size
        for file, _ in pictures:
            with Path(file).open("rb") as picture:
                shutil.copyfileobj(picture, out)


def _zip(archive: Path, pictures: Sequence[tuple[str, str]]) -> None:
    """Write pictures at their paths, as they are: they are compressed already."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for file, path in pictures:
            entry = zipfile.ZipInfo(path, _DATE)
            # A plain file that all may read.
            entry.external_attr = 0o100644 << 16
            with Path(file).open("rb") as picture, out.open(entry, "w") as place:
                shutil.copyfileobj(picture, place)
