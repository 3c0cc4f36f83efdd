"""Where the bytes of a source come from: a storage of blobs, or the server of a URL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

from common.errors import Unreachable
from common.model import Source
from common.storage.port import BlobStore
from worker.egress import EgressClient, Pin

_URL_ATTEMPTS = 3
# A server that fails at once, as behind a proxy that restarts, gets a moment.
_PAUSE_SECONDS = 0.5


class Origin(Protocol):
    """Reads ranges of one pinned source of ``size`` bytes."""

    size: int

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to before ``end``; resume broken connections.

        Raises SourceChanged and other SourceErrors, StorageUnavailable, Unreachable,
        and RangesIgnored where only a part is asked for and the whole would come.
        """


class BlobOrigin:
    """Reads a blob of our storage, or an object of a caller's bucket."""

    def __init__(self, blobs: BlobStore, source: Source) -> None:
        self.size = source.size or 0
        self._blobs = blobs
        self._source = source

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield a range of the blob."""
        source = self._source
        # A request for all of it works on a storage without ranges, too.
        all_of_it = start == 0 and end == self.size
        return self._blobs.read(
            source.key or "",
            bucket=source.bucket,
            start=start,
            end=None if all_of_it else end,
            etag=source.etag,
            ranged=not all_of_it,
        )


class UrlOrigin:
    """Reads a file at a URL, by the rules of :mod:`worker.egress`."""

    def __init__(self, egress: EgressClient, source: Source) -> None:
        self.size = source.size or 0
        self._egress = egress
        self._url = source.url or ""
        self._pin = Pin(self.size, source.etag, source.modified)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield a range of the file; ends after some attempts that brought nothing."""
        failures = 0
        while start < end:
            try:
                for chunk in self._egress.read_range(self._url, start, end, self._pin):
                    start += len(chunk)
                    failures = 0
                    yield chunk
            except Unreachable:
                failures += 1
                if failures >= _URL_ATTEMPTS:
                    raise
                time.sleep(failures * _PAUSE_SECONDS)
