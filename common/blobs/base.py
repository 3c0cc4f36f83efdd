"""The BlobStore port: what every store of files must do.

Keys are ours (``in/...``, ``out/...``): ASCII, slash-separated, never a caller's
name. ``tests/contracts/blobs.py`` is the conformance suite of all adapters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True)
class BlobInfo:
    """What the store says of one blob; ``etag`` pins its content, unquoted."""

    key: str
    size: int
    etag: str
    content_type: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Grant:
    """A presigned permission: ``method`` on ``url`` until ``expires_at`` (Unix s)."""

    method: str
    url: str
    expires_at: int


class BlobWriter(Protocol):
    """An upload in progress; nothing is visible under the key before commit.

    A context manager: leaving it without :meth:`commit` aborts.
    """

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes; memory stays bounded (two 8 MiB parts in flight on S3)."""

    def commit(self) -> BlobInfo:
        """Make the blob visible, whole."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class BlobStore(Protocol):
    """Named blobs, written whole, read by range.

    Raises SourceNotFound for an absent key, SourceChanged where ``etag`` does not
    match, SourceForbidden where the store refuses, StorageUnavailable (retryable)
    where it does not answer, DiskFull where there is no room.
    """

    def head(self, key: str, *, bucket: str | None = None) -> BlobInfo:
        """Tell size and ETag. ``bucket`` None is our own."""

    def read(
        self,
        key: str,
        *,
        bucket: str | None = None,
        start: int = 0,
        end: int | None = None,
        etag: str | None = None,
    ) -> Iterator[bytes]:
        """Stream the bytes ``start`` to ``end`` (exclusive; None is the last)."""

    def fetch(
        self, key: str, path: Path, *, bucket: str | None = None, etag: str | None = None
    ) -> int:
        """Bring the whole blob to ``path`` (hard link where local); give its size."""

    def writer(self, key: str, *, content_type: str) -> BlobWriter:
        """Begin a streamed upload of unknown length."""

    def put(self, key: str, path: Path, *, content_type: str) -> BlobInfo:
        """Store a finished file."""

    def delete(self, key: str) -> None:
        """Remove one blob; an absent one is no error."""

    def delete_prefix(self, prefix: str) -> int:
        """Remove every blob whose key starts with ``prefix``; give how many."""

    def list(self, prefix: str, *, bucket: str | None = None) -> Iterator[BlobInfo]:
        """Walk the blobs whose key starts with ``prefix``, in key order."""

    def grant_get(
        self,
        key: str,
        *,
        content_type: str,
        filename: str,
        seconds: int,
        attachment: bool = False,
        bucket: str | None = None,
    ) -> Grant:
        """Permit one download that is served with this type and this name."""

    def grant_put(self, key: str, *, content_type: str, seconds: int) -> Grant:
        """Permit one upload by a plain PUT."""

    def check(self) -> None:
        """Raise StorageUnavailable when the store does not answer."""
