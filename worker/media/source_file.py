"""What this library knows of a source: a local file whose bytes may still be elsewhere.

A decoder needs a plain path. Behind it lies a file of the source's full length, and
what has not been fetched yet is a hole in it. Whoever reads a part of the file first
asks for that part by :meth:`SourceFile.ensure`: :func:`open_source` and
:class:`SourceBytes` do so for code of this process, :mod:`worker.media.sandbox.reads`
for a decoder.
"""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast, overload

# What one read of :func:`open_source`, and one step of a search, asks for, in bytes.
_BUFFER = 64 * 1024


class SourceFile(Protocol):
    """A source as a local file of its full length; what is missing is a hole in it."""

    @property
    def path(self) -> Path:
        """The local file. A hole in it reads as zeros."""

    @property
    def complete(self) -> bool:
        """True if the file has no hole; it never becomes False again."""

    def ensure(self, start: int, end: int) -> None:
        """Return once the bytes from ``start`` up to ``end`` are in the file.

        An ``end`` after the end of the file is allowed. Several threads may call this
        at once. Raises SourceChanged and other SourceErrors, StorageUnavailable,
        Unreachable, DiskFull or Interrupted.
        """

    def ensure_all(self, spans: Iterable[tuple[int, int]]) -> None:
        """Do as :meth:`ensure` for several ranges, several at once."""


@dataclass(frozen=True)
class LocalFile:
    """A file that is complete."""

    path: Path
    complete: bool = True

    def ensure(self, start: int, end: int) -> None:
        """Do nothing: every byte is there."""

    def ensure_all(self, spans: Iterable[tuple[int, int]]) -> None:
        """Do nothing: every byte is there."""


class _Filled(io.RawIOBase):
    """A raw file that has the bytes fetched before it reads them."""

    def __init__(self, source: SourceFile) -> None:
        super().__init__()
        self._source = source
        self._file = source.path.open("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]
        at = self._file.tell()
        self._source.ensure(at, at + len(buffer))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_source(source: SourceFile) -> BinaryIO:
    """Open a source for reading; what is missing is fetched before it is read.

    Reading raises what :meth:`SourceFile.ensure` raises.
    """
    if source.complete:
        return source.path.open("rb")
    return cast("BinaryIO", io.BufferedReader(_Filled(source), _BUFFER))


class SourceBytes:
    """The bytes of a source that is not empty; what is missing is fetched when used.

    All of it may raise what :meth:`SourceFile.ensure` raises.
    """

    def __init__(self, source: SourceFile) -> None:
        self._source = source
        with source.path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def close(self) -> None:
        """Close the view."""
        self._data.close()

    def __len__(self) -> int:
        """Return the length of the source in bytes."""
        return len(self._data)

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> bytes: ...

    def __getitem__(self, place: int | slice) -> int | bytes:
        """Return the byte at an offset, or those of a slice without a step."""
        if isinstance(place, slice):
            start, end, _ = place.indices(len(self._data))
        else:
            start, end = place, place + 1
        self._source.ensure(start, end)
        return self._data[place]

    def find(self, wanted: bytes, start: int, end: int) -> int:
        """Return the first offset of ``wanted`` between two offsets, -1 if none."""
        end = min(end, len(self._data))
        for at in range(start, end, _BUFFER):
            until = min(at + _BUFFER + len(wanted) - 1, end)
            self._source.ensure(at, until)
            if (found := self._data.find(wanted, at, until)) >= 0:
                return found
        return -1

    def rfind(self, wanted: bytes) -> int:
        """Return the last offset of ``wanted``, -1 if there is none."""
        size = len(self._data)
        for until in range(size, 0, -_BUFFER):
            start = max(0, until - _BUFFER)
            end = min(until + len(wanted) - 1, size)
            self._source.ensure(start, end)
            if (found := self._data.rfind(wanted, start, end)) >= 0:
                return found
        return -1
