"""The BlobStore port: what every store of files (blobs) must do.

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


class RangesIgnored(Exception):
    """The storage answers a request for a range with the whole blob."""


@dataclass(frozen=True)
class BlobInfo:
    """What the store knows of one blob; ``etag`` (unquoted) identifies its content."""

    key: str
    size: int
    etag: str
    content_type: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Grant:
    """A presigned permission: ``method`` on ``url`` until ``expires_at`` (Unix s).

    ``headers`` are part of the signature: the request must carry exactly these.
    """

    method: str
    url: str
    expires_at: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Part:
    """One stored part of an unfinished upload; ``number`` counts from 1."""

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
        """Make the complete blob visible under its key."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class PartStore(Protocol):
    """Uploads over several requests: parts under a ``ref``, joined at the end.

    All parts but the last must have the same size, at least 5 MiB (a rule of S3). Of a
    part that is put twice, the later counts. An unknown ``ref`` raises SourceNotFound.
    """

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """Open an upload; return its ``ref``."""

    def put_part(self, key: str, ref: str, number: int, data: bytes) -> Part:
        """Store one part."""

    def grant_part(
        self, key: str, ref: str, number: int, *, size: int, seconds: int
    ) -> Grant:
        """Permit one part of ``size`` bytes to be put by a plain PUT."""

    def list_parts(self, key: str, ref: str) -> Iterator[Part]:
        """Yield the stored parts in order of their numbers."""

    def join_parts(self, key: str, ref: str, parts: Sequence[Part]) -> BlobInfo:
        """Make the blob of these parts visible; raise SourceChanged if one differs."""

    def drop_parts(self, key: str, ref: str) -> None:
        """Delete the upload and its parts; an absent one is no error."""


class BlobStore(PartStore, Protocol):
    """Named blobs, written whole, read by range.

    Raises SourceNotFound for an absent key, SourceChanged if ``etag`` does not match,
    SourceForbidden if a caller's bucket refuses, StorageUnavailable (retryable) if the
    store does not answer, its kind StorageDenied if the store refuses this service,
    and DiskFull if there is no room.
    """

    def admits(self, key: str, *, bucket: str | None = None) -> bool:
        """Return whether this store can hold such a key, whether it exists or not."""

    def head(self, key: str, *, bucket: str | None = None) -> BlobInfo:
        """Return size and ETag of a blob; ``bucket`` None is our own."""

    def read(
        self,
        key: str,
        *,
        bucket: str | None = None,
        start: int = 0,
        end: int | None = None,
        etag: str | None = None,
        ranged: bool = False,
    ) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to before ``end`` (None: all), in chunks.

        Errors on opening are raised by the call, not by the first chunk. A storage that
        ignores ranges sends all that lies before ``start``, too; with ``ranged`` this
        raises RangesIgnored instead.
        """

    def path_of(
        self, key: str, *, bucket: str | None = None, etag: str | None = None
    ) -> Path | None:
        """Return the file that holds the blob, None if that is not on this host.

        It is never written again, but it may be deleted.
        """

    def writer(self, key: str, *, content_type: str) -> BlobWriter:
        """Return a writer for a blob of unknown length."""

    def put(self, key: str, path: Path, *, content_type: str) -> BlobInfo:
        """Store a finished file."""

    def copy(self, key: str, to: str, *, size: int) -> None:
        """Copy a blob of ``size`` bytes to another key, inside the store.

        Raises SourceNotFound, also for a blob of another size.
        """

    def delete(self, key: str) -> None:
        """Delete one blob; an absent one is no error."""

    def delete_prefix(self, prefix: str) -> int:
        """Delete every blob whose key starts with ``prefix``; return how many."""

    def list(
        self, prefix: str, *, bucket: str | None = None, after: str | None = None
    ) -> Iterator[BlobInfo]:
        """Yield the blobs whose key starts with ``prefix``, in key order.

        With ``after``, only those whose key comes after it.
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
        """Permit a download, served with this content type and file name.

        With ``head`` the permission is for a HEAD request, since S3 signs the method.
        """

    def grant_put(
        self, key: str, *, content_type: str, seconds: int, size: int | None = None
    ) -> Grant:
        """Permit one upload by a plain PUT, of exactly ``size`` bytes if given."""

    def export(self, artifact: Artifact, to: Destination, place: ObjectName) -> None:
        """Copy a stored file to ``place``, served as ``to`` says; may be repeated.

        Raises DestinationForbidden if the bucket refuses or this store has no buckets.
        """

    def check(self) -> None:
        """Raise StorageUnavailable if the store does not answer.

        Its kind StorageDenied means that the store refuses this service.
        """

    def clock_skew(self) -> float | None:
        """Return how many seconds our clock was ahead of the store's at the last check.

        None if the store has no clock of its own or was not asked yet.
        """

    def tidy(self, prefix: str, seconds: float) -> int:
        """Delete unfinished uploads under ``prefix`` that are ``seconds`` old or more.

        Killed writers leave them. Returns how many. Outside ``prefix`` a bucket may
        hold the unfinished uploads of others.
        """


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Raise DiskFull for a full disk and StorageUnavailable for any other OSError."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"{doing}: no space left") from error
        reason = error.strerror or type(error).__name__
        raise StorageUnavailable(f"{doing}: {reason}") from error
