"""Read from an MP4's sample tables where its samples end, and how far apart they are.

PyAV's index has an object for each sample, and an hour of film has 300,000. The tables
state both for whole runs and chunks of samples. Source: ISO/IEC 14496-12 (``stts``,
``stsc``, ``stsz``, ``stco``, ``co64``, ``elst``).

No length is trusted: boxes are read within their parents. A file whose tables do not
say it alone (fragments, several edits, a broken box) has none.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import mul, sub
from pathlib import Path
from typing import Any, BinaryIO

from worker.media.probe.isobmff import walk

_MOST_BYTES = 64 * 1024 * 1024
_NEGATIVE = 2**31
# Where the sizes begin in stsz.
_SIZES_AT = 12
_INSIDE = {b"mdia", b"minf", b"stbl", b"edts"}
_TABLES = {b"stts", b"stsc", b"stsz", b"stco", b"co64", b"tkhd", b"mdhd", b"elst"}
# An entry of an edit list: its length, its start in the media (-1: nothing), its rate.
_EDITS = {0: struct.Struct(">IiI"), 1: struct.Struct(">QqI")}
_Spans = dict[bytes, tuple[int, int]]


@dataclass(frozen=True)
class Samples:
    """The samples of one track: ``end`` is the offset in bytes after the last one.

    ``gap`` is the longest time from one sample to the next, in ticks of the track.
    """

    count: int
    end: int
    gap: int


def read_agreeing(container: Any, path: Path) -> dict[int, Samples]:
    """Return what the tables say of each track, by its id.

    ``container`` is the same file as PyAV opened it. Empty if it is no MP4, or if its
    index has other samples than the tables.
    """
    if not container.format.name.startswith("mov,"):
        return {}
    found = read(path) or {}
    for stream in container.streams:
        known = found.get(stream.id)
        if len(_index(stream)) != (known.count if known else 0):
            return {}
    return found


def longest_gap(stream: Any, tables: Mapping[int, Samples]) -> float:
    """Return the longest time between frames, in seconds; 0 if no index lists all."""
    index = _index(stream)
    if not index or stream.frames != len(index):
        return 0.0
    if tables:
        ticks = tables[stream.id].gap
    else:
        stamps = sorted(entry.timestamp for entry in index)
        ticks = max((b - a for a, b in pairwise(stamps)), default=0)
    return float(ticks * float(stream.time_base))


def samples_end(container: Any, tables: Mapping[int, Samples]) -> int:
    """Return the offset where the last sample in an MP4's index ends, 0 for others."""
    if tables:
        return max(one.end for one in tables.values())
    streams = container.streams if container.format.name.startswith("mov,") else ()
    entries = (entry for stream in streams for entry in _index(stream))
    return max((one.pos + one.size for one in entries), default=0)


def _index(stream: Any) -> Any:
    return getattr(stream, "index_entries", None) or ()


def read(path: Path) -> dict[int, Samples] | None:
    """Return the samples of each track by its id; None if the tables do not say."""
    try:
        with path.open("rb") as file:
            return _tracks(file, path.stat().st_size)
    except (struct.error, ValueError, IndexError, KeyError):
        return None


def _tracks(file: BinaryIO, size: int) -> dict[int, Samples] | None:
    found: dict[int, Samples] = {}
    for kind, start, end in walk(file, 0, size):
        if kind == b"moof":
            return None
        if kind != b"moov":
            continue
        for inner, begin, until in walk(file, start, end):
            if inner == b"mvex":
                return None
            if inner == b"trak":
                number, samples = _track(file, begin, until)
                found[number] = samples
    return found or None


def _track(file: BinaryIO, start: int, end: int) -> tuple[int, Samples]:
    spans = _spans(file, start, end)
    number = _after_times(_content(file, spans[b"tkhd"]))
    if not _after_times(_content(file, spans[b"mdhd"])):
        raise ValueError("a second has no ticks")
    if b"elst" in spans and not _plain(_content(file, spans[b"elst"])):
        raise ValueError("several edits")
    lengths = _numbers(_content(file, spans[b"stts"]), 2)
    count = sum(lengths[0::2])
    return number, Samples(count, _end(file, spans), _gap(lengths))


def _after_times(data: bytes) -> int:
    """Return the number that follows two times, of 32 or 64 bits: an id, or a rate."""
    (number,) = struct.unpack_from(">I", data, 20 if data[0] else 12)
    return int(number)


def _spans(file: BinaryIO, start: int, end: int) -> _Spans:
    """Return where the tables of a track are, by their names."""
    found: _Spans = {}
    for kind, begin, until in walk(file, start, end):
        if kind in _INSIDE:
            found |= _spans(file, begin, until)
        elif kind in _TABLES:
            found[kind] = (begin, until)
    return found


def _content(file: BinaryIO, span: tuple[int, int]) -> bytes:
    start, end = span
    if end - start > _MOST_BYTES:
        raise ValueError("a table is too large")
    file.seek(start)
    data = file.read(end - start)
    if len(data) < end - start:
        raise ValueError("a table is cut off")
    return data


def _numbers(data: bytes, columns: int, kind: str = "I") -> array[int]:
    """Return the numbers of a table, row by row."""
    (rows,) = struct.unpack_from(">I", data, 4)
    found = array(kind)
    body = data[8 : 8 + rows * columns * found.itemsize]
    if len(body) < rows * columns * found.itemsize:
        raise ValueError("a table has fewer rows than it says")
    found.frombytes(body)
    if sys.byteorder == "little":
        found.byteswap()
    return found


def _plain(data: bytes) -> bool:
    """Return True if an edit list only shifts the whole track."""
    (rows,) = struct.unpack_from(">I", data, 4)
    entry = _EDITS[data[0]]
    starts = [entry.unpack_from(data, 8 + row * entry.size)[1] for row in range(rows)]
    return len([start for start in starts if start >= 0]) <= 1


def _gap(lengths: array[int]) -> int:
    """Return the longest length of a sample; that of the last one leads nowhere."""
    counts, ticks = lengths[0::2], lengths[1::2]
    if any(one >= _NEGATIVE for one in ticks):
        raise ValueError("a sample ends before it begins")
    while counts and counts[-1] == 0:
        counts.pop()
    if counts and counts[-1] == 1:
        counts.pop()
    used = [one for one, count in zip(ticks, counts, strict=False) if count]
    return max(used, default=0)


def _end(file: BinaryIO, spans: _Spans) -> int:
    """Return where the chunk that begins last ends."""
    wide = b"co64" in spans
    table = _content(file, spans[b"co64" if wide else b"stco"])
    chunks = _numbers(table, 1, "Q" if wide else "I")
    if not chunks:
        return 0
    last = max(chunks)
    place = chunks.index(last) + 1
    runs = _numbers(_content(file, spans[b"stsc"]), 3)
    firsts, each = runs[0::3], runs[1::3]
    run = bisect_right(firsts, place) - 1
    steps = map(sub, firsts[1 : run + 1], firsts[:run])
    before = sum(map(mul, steps, each)) + (place - firsts[run]) * each[run]
    return last + _bytes(_content(file, spans[b"stsz"]), before, each[run])


def _bytes(data: bytes, first: int, count: int) -> int:
    """Return the size of samples in a row; all may have the same."""
    same, rows = struct.unpack_from(">II", data, 4)
    count = max(0, min(count, rows - first))
    if same:
        return int(same * count)
    return sum(struct.unpack_from(f">{count}I", data, _SIZES_AT + 4 * first))
