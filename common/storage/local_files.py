"""Single files of the local store: writing, identifying, reading and sorting them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from common.errors import SourceChanged
from common.storage.observed import observed
from common.storage.port import CHUNK_BYTES, BlobInfo, disk_errors


def file_etag(stat: os.stat_result) -> str:
    """Return the ETag of a file: ``inode-size-mtime_ns`` in hexadecimal."""
    return f"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_mtime_ns:x}"


@observed
class LocalWriter:
    """Writes a temporary file that becomes the blob at commit, by ``publish``."""

    def __init__(
        self, temp: Path, key: str, publish: Callable[[Path, str], BlobInfo]
    ) -> None:
        self._temp = temp
        self._key = key
        self._publish = publish
        with disk_errors(f"writing {key}"):
            self._file: BinaryIO = temp.open("xb")

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes; raises DiskFull."""
        with disk_errors(f"writing {self._key}"):
            self._file.write(chunk)

    def commit(self) -> BlobInfo:
        """Flush the file to the disk, then rename it to its key."""
        with disk_errors(f"writing {self._key}"):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            return self._publish(self._temp, self._key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # close() flushes the buffer, which fails on a full disk.
        with suppress(OSError):
            self._file.close()
        self._temp.unlink(missing_ok=True)


def open_pinned(path: Path, key: str, etag: str | None) -> BinaryIO:
    """Open a file to read; raise SourceChanged if it has another ETag than ``etag``."""
    file = path.open("rb")
    if etag is not None and etag != file_etag(os.fstat(file.fileno())):
        file.close()
        raise SourceChanged(f"{key} changed: its ETag differs")
    return file


def read_chunks(
    file: BinaryIO, key: str, start: int, end: int | None
) -> Iterator[bytes]:
    """Yield the bytes from ``start`` to before ``end``, then close the file."""
    with file:
        file.seek(start)
        left = None if end is None else end - start
        while left is None or left > 0:
            with disk_errors(f"reading {key}"):
                wanted = CHUNK_BYTES if left is None else min(left, CHUNK_BYTES)
                chunk = file.read(wanted)
            if not chunk:
                return
            left = None if left is None else left - len(chunk)
            yield chunk


def slashed(entry: os.DirEntry[str]) -> str:
    """Return an entry's name as it sorts among keys: a folder with its slash."""
    return entry.name + "/" if entry.is_dir() else entry.name


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
