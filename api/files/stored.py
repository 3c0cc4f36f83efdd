"""A blob of a storage as a file that can be sought, for answers with ranges."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from common.storage.port import BlobInfo, BlobStore


class StoredFile:
    """Yields the bytes of a blob from where it was sought; asks when it is iterated.

    Werkzeug seeks the body of an answer to the begin of a range, reads what it needs,
    and closes it. Raises SourceNotFound for a blob that is not there.
    """

    def __init__(self, blobs: BlobStore, key: str, bucket: str | None) -> None:
        self._blobs = blobs
        self._key = key
        self._bucket = bucket
        self._start = 0
        self._chunks: Iterator[bytes] | None = None

    @cached_property
    def _info(self) -> BlobInfo:
        return self._blobs.head(self._key, bucket=self._bucket)

    @property
    def size(self) -> int:
        """Return the length of the blob in bytes."""
        return self._info.size

    @property
    def etag(self) -> str:
        """Return what identifies its content."""
        return self._info.etag

    def seekable(self) -> bool:
        """Return True: nothing was read yet."""
        return True

    def seek(self, offset: int) -> None:
        """Begin at an offset, before the first byte is read."""
        self._start = offset

    def tell(self) -> int:
        """Return the offset at which it begins."""
        return self._start

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._blobs.read(
                self._key, bucket=self._bucket, start=self._start, etag=self.etag
            )
        return next(self._chunks)

    def close(self) -> None:
        """End the reading."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
