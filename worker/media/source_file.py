"""What this library knows of a source: a local file whose bytes may still be elsewhere.

A decoder needs a plain path. Behind it lies a file of the source's full length, and
what has not been fetched yet is a hole in it. Whoever reads a part of the file first
asks for that part by :meth:`SourceFile.ensure`: :func:`open_source` does so for code of
this process, :mod:`worker.media.sandbox` for a decoder.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

# What one read of :func:`open_source` asks for at least, in bytes.
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
        at once. Raises SourceChanged, SourceNotFound, StorageUnavailable, DiskFull or
        Interrupted.
        """


@dataclass(frozen=True)
class LocalFile:
    """A file that is complete."""

    path: Path
    complete: bool = True

    def ensure(self, start: int, end: int) -> None:
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
