"""The BlobStore port: what every store of files must do.

Keys are ours (``in/...``, ``out/...``): ASCII, slash-separated, never a caller's
name. ``tests/common/storage/test_port.py`` is the conformance suite of all adapters.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from common.errors import DiskFull, StorageUnavailable
from common.model import Artifact, Destination, ObjectName

CHUNK_BYTES = 1024 * 1024
PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 10_000


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
    """A presigned permission: ``method`` on ``url`` until ``expires_at`` (Unix s).

    ``headers`` are signed along: the request must carry exactly these.
    """

    method: str
    url: str
    expires_at: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Part:
    """One stored part of an unfinished upload; ``number`` begins with 1."""

    number: int
    size: int
    etag: str


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


class PartStore(Protocol):
    """Uploads that outlive one request: parts under a ``ref``, joined at the end.

    Every part but the last must have the same size, at least 5 MiB (a rule of S3).
    A part put twice is the later one. An unknown ``ref`` raises SourceNotFound.
    """

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """Open an upload and give its ``ref``."""

    def put_part(self, key: str, ref: str, number: int, data: bytes) -> Part:
        """Store one part."""

    def grant_part(
        self, key: str, ref: str, number: int, *, size: int, seconds: int
    ) -> Grant:
        """Permit one part of ``size`` bytes to be put by a plain PUT."""

    def list_parts(self, key: str, ref: str) -> Iterator[Part]:
        """Walk the stored parts, in order of their numbers."""

    def join_parts(self, key: str, ref: str, parts: Sequence[Part]) -> BlobInfo:
        """Make the blob of these parts visible; SourceChanged if one differs."""

    def drop_parts(self, key: str, ref: str) -> None:
        """Forget the upload and its parts; an absent one is no error."""


class BlobStore(PartStore, Protocol):
    """Named blobs, written whole, read by range.

    Raises SourceNotFound for an absent key, SourceChanged where ``etag`` does not
    match, SourceForbidden where a caller's bucket refuses, StorageUnavailable
    (retryable) where the store does not answer or refuses this service
    (StorageDenied), DiskFull where there is no room.
    """

    def admits(self, key: str, *, bucket: str | None = None) -> bool:
        """Return whether this store can hold such a key, be it there or not."""

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
        """Stream the bytes ``start`` to ``end`` (exclusive; None is the last).

        Errors of the opening are raised by the call, not by the first step.
        """

    def fetch(
        self,
        key: str,
        path: Path,
        *,
        bucket: str | None = None,
        etag: str | None = None,
    ) -> int:
        """Bring the whole blob to ``path`` (hard link where local); give its size."""

    def writer(self, key: str, *, content_type: str) -> BlobWriter:
        """Begin a streamed upload of unknown length."""

    def put(self, key: str, path: Path, *, content_type: str) -> BlobInfo:
        """Store a finished file."""

    def copy(self, key: str, to: str, *, size: int) -> None:
        """Copy a blob of ``size`` bytes to another key, without its bytes coming here.

        Raises SourceNotFound, also for a blob of another size.
        """

    def delete(self, key: str) -> None:
        """Remove one blob; an absent one is no error."""

    def delete_prefix(self, prefix: str) -> int:
        """Remove every blob whose key starts with ``prefix``; give how many."""

    def list(
        self, prefix: str, *, bucket: str | None = None, after: str | None = None
    ) -> Iterator[BlobInfo]:
        """Walk the blobs whose key starts with ``prefix``, in key order.

        ``after`` leaves out what comes before it, and itself.
        """

    def grant_get(  # noqa: PLR0913 - all but the key by keyword
        self,
        key: str,
        *,
        content_type: str,
        filename: str,
        seconds: int,
        attachment: bool = False,
        bucket: str | None = None,
        head: bool = False,
    ) -> Grant:
        """Permit one download that is served with this type and this name.

        With ``head`` the permission is for a HEAD request (S3 signs the method).
        """

    def grant_put(
        self, key: str, *, content_type: str, seconds: int, size: int | None = None
    ) -> Grant:
        """Permit one upload by a plain PUT, of exactly ``size`` bytes if given."""

    def export(self, artifact: Artifact, to: Destination, place: ObjectName) -> None:
        """Copy a stored file to ``place``, served as ``to`` says; may be repeated.

        Raises DestinationForbidden where it may not be, or where this store has no
        buckets.
        """

    def check(self) -> None:
        """Raise StorageUnavailable when the store does not answer.

        StorageDenied, one of its kind, says that it refuses this service.
        """

    def clock_skew(self) -> float | None:
        """Return how far our clock was ahead of the store's at the last check, seconds.

        None where the store has no clock of its own, or was not asked yet.
        """

    def tidy(self, prefix: str, seconds: float) -> int:
        """Remove what killed writers began under ``prefix`` that long ago.

        Gives how many. A bucket may hold the unfinished uploads of others.
        """


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn a full disk into DiskFull and any other OSError into StorageUnavailable."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"{doing}: no space left") from error
        reason = error.strerror or type(error).__name__
        raise StorageUnavailable(f"{doing}: {reason}") from error
