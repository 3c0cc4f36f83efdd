"""Open a large MP4 in fragments by the index at its end.

Without that index, FFmpeg visits each fragment when it opens the file: a fourth of the
bytes of an hour, by blocks of 128 KiB. It uses the index only if it is told to, since
some programs write wrong times into it: these then count, and not those of the
fragments. The lengths that FFmpeg 9.0.2 states are then those of the first fragments.
So the index is used only where fragments agree with it, and the lengths are read from
the last one. Source: ISO/IEC 14496-12, 8.8.4 to 8.8.12.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

# FFmpeg's option; in "pts" it is told what the times are.
BY_INDEX = {"use_mfra_for": "pts"}
_MOST_PACKETS = 5000
# No film lasts that many ticks; FFmpeg's own limit is twice as many.
_LATE = 2**61
_MOST_INDEX_BYTES = 16 * 1024 * 1024


class Bytes(Protocol):
    """The bytes of a file by their offsets."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: slice, /) -> bytes: ...


class Fragment(NamedTuple):
    """When a fragment's first frame of a track is shown, in ticks, and its offset."""

    time: int
    offset: int


def read(data: Bytes) -> dict[int, list[Fragment]]:
    """Return the fragments of each track that the index at the end lists, by track id.

    Empty if there is no index, or one that is not whole.
    """
    size = len(data)
    length = _big(data[size - 4 : size])
    if not 16 < length <= min(size, _MOST_INDEX_BYTES):
        return {}
    index = data[size - length : size]
    if index[4:8] != b"mfra" or index[-12:-8] != b"mfro":
        return {}
    at, found = 8, {}
    while index[at + 4 : at + 8] == b"tfra":
        end = at + _big(index[at : at + 4])
        if not at < end <= length:
            return {}
        track, listed = _track(index[at:end])
        if listed:
            found[track] = listed
        at = end
    return found


def _track(box: bytes) -> tuple[int, list[Fragment]]:
    """Return the id of a track and its fragments."""
    count, (wide, entry) = _big(box[20:24]), _lengths(box)
    if 24 + count * entry > len(box):
        return 0, []
    places = range(24, 24 + count * entry, entry)
    return _big(box[12:16]), [
        Fragment(_big(box[at : at + wide]), _big(box[at + wide : at + 2 * wide]))
        for at in places
    ]


def _lengths(box: bytes) -> tuple[int, int]:
    """Return how long a time is, and an entry; three more numbers end each entry."""
    wide = 8 if box[8] else 4
    return wide, 2 * wide + sum((box[19] >> shift & 3) + 1 for shift in (0, 2, 4))


def last(data: Bytes) -> int:
    """Return where the last fragment begins that the first track's index lists.

    0 if there is no index, or if no fragment begins there. Little is read.
    """
    size = len(data)
    start = size - _big(data[size - 4 : size])
    box = data[start + 8 : start + 32] if 0 <= start <= size - 48 else b""
    if box[4:8] != b"tfra" or data[size - 12 : size - 8] != b"mfro":
        return 0
    count, (wide, entry) = _big(box[20:24]), _lengths(box)
    listed = start + 32 + (count - 1) * entry + wide
    at = _big(data[listed : listed + wide]) if count else 0
    return at if data[at + 4 : at + 8] == b"moof" else 0


def are_listed(path: Path) -> bool:
    """Return whether FFmpeg may take the times and places of the index for granted.

    The index ends with the file's last fragment, goes forward, and the first, the
    middle and the last fragment of each track begin as it says. FFmpeg ignores edit
    lists beside it, so there is none.
    """
    data = _File(path)
    at = last(data) if len(data) else 0
    if not at:
        return False
    while data[at + 4 : at + 8] in (b"moof", b"mdat"):
        size = _big(data[at : at + 4])
        if size < 8:
            return False
        at += size
    if data[at + 4 : at + 8] != b"mfra" or _has_edits(data):
        return False
    tracks = read(data)
    return bool(tracks) and all(
        _is_sorted(listed) and all(_begins(data, track, one) for one in _three(listed))
        for track, listed in tracks.items()
    )


def _three(listed: list[Fragment]) -> list[Fragment]:
    return [listed[0], listed[len(listed) // 2], listed[-1]]


def _is_sorted(listed: list[Fragment]) -> bool:
    return all(a.time < b.time and a.offset < b.offset for a, b in pairwise(listed))


def _has_edits(data: Bytes) -> bool:
    """Return whether a track has an edit list, or the header is not found."""
    at = 0
    while data[at + 4 : at + 8] not in (b"moov", b"moof", b"mdat", b""):
        at += max(8, _big(data[at : at + 4]))
    size = _big(data[at : at + 4])
    if data[at + 4 : at + 8] != b"moov" or size > _MOST_INDEX_BYTES:
        return True
    return b"elst" in data[at : at + size]


def _begins(data: Bytes, track: int, listed: Fragment) -> bool:
    """Return whether a track's part of a fragment begins when the index says."""
    at = listed.offset
    size = _big(data[at : at + 4])
    if data[at + 4 : at + 8] != b"moof" or size > _MOST_INDEX_BYTES:
        return False
    for kind, part in _inside(data[at + 8 : at + size]):
        boxes = dict(_inside(part)) if kind == b"traf" else {}
        if _big(boxes.get(b"tfhd", b"")[4:8]) == track:
            return _first_time(boxes) == listed.time
    return False


def _first_time(boxes: dict[bytes, bytes]) -> int | None:
    """Return when the first frame of a part of a fragment is shown, in ticks."""
    decoded, run = boxes.get(b"tfdt", b""), boxes.get(b"trun", b"")
    if len(decoded) < 8 or len(run) < 8:
        return None
    flags = _big(run[1:4])
    # What precedes the first frame's offset: two fields of the run, three of the frame.
    at = 8 + 4 * sum(bool(flags & one) for one in (0x1, 0x4, 0x100, 0x200, 0x400))
    later = run[at : at + 4] if flags & 0x800 else b""
    time = _big(decoded[4 : 12 if decoded[0] else 8])
    return time + int.from_bytes(later, "big", signed=bool(run[0]))


def _inside(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the contents of each box."""
    at = 0
    while at + 8 <= len(data):
        size = _big(data[at : at + 4])
        if size < 8:
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def ends(container: Any) -> dict[int, float]:
    """Return when the last frame of each stream ends, in seconds, by its index.

    ``container`` is left at its end.
    """
    found: dict[int, float] = {}
    container.seek(_LATE, stream=container.streams.video[0], backward=True)
    for packet in islice(container.demux(), _MOST_PACKETS):
        if packet.pts is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            index = packet.stream.index
            found[index] = max(end, found.get(index, end))
    return found


class _File:
    """The bytes of a local file, read when they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: slice, /) -> bytes:
        start, end, _ = place.indices(self._size)
        with self._path.open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(max(0, end - start))


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")
