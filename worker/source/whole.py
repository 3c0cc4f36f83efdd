"""A cache of whole sources on local disk, shared by all tasks on this host.

A copy is named by the digest of bucket, key and ETag, so the outputs of a job and the
parts of an output download it once. A task gets a hard link: eviction never removes a
file that FFmpeg is reading.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import TooLarge
from common.model import Source
from common.settings.load import Settings
from common.storage.port import BlobStore, disk_errors

_IDLE_SECONDS = 3600.0


class SourceCache:
    """Pins sources, and fetches them into the cache."""

    def __init__(self, settings: Settings, blobs: BlobStore) -> None:
        self._limit = settings.limits.source_bytes
        self._cache_bytes = settings.worker.cache_bytes
        self._folder = settings.worker.scratch / "cache"
        self._blobs = blobs

    def pin(self, source: Source) -> Source:
        """Return the source with its size and ETag, before any byte is read.

        Raises SourceNotFound, SourceChanged if it no longer matches an earlier pin,
        TooLarge, StorageUnavailable.
        """
        info = self._blobs.head(source.key or "", bucket=source.bucket)
        if info.size > self._limit:
            raise TooLarge(
                f"the source has {info.size} bytes, the limit is {self._limit} "
                "(FRAMEMILL_LIMITS_SOURCE_BYTES)",
                hint="send a smaller file or raise the limit",
            )
        return source.model_copy(
            update={
                "etag": source.etag or info.etag,
                "size": info.size,
                "version": source.version or info.version,
            }
        )

    def fetch(self, source: Source, path: Path) -> None:
        """Link the pinned source to ``path``, downloading it if it is not cached.

        Raises what BlobStore.fetch raises.
        """
        with disk_errors("keeping a local copy of the source"):
            self._folder.mkdir(parents=True, exist_ok=True)
            kept = self._folder / _digest(source)
            with _locked(kept.with_suffix(".lock")):
                if not kept.exists():
                    self._evict(source.size or 0)
                    part = kept.with_suffix(".part")
                    part.unlink(missing_ok=True)
                    self._blobs.fetch(
                        source.key or "", part, bucket=source.bucket, etag=source.etag
                    )
                    part.rename(kept)
                # Touch the lock, not the copy: the copy may be the blob's own inode,
                # and its modification time is the blob's ETag.
                os.utime(kept.with_suffix(".lock"))
                os.link(kept, path)

    def drop(self, source: Source) -> None:
        """Remove a source from the cache; links in use stay."""
        kept = self._folder / _digest(source)
        for suffix in ("", ".part", ".lock"):
            kept.with_suffix(suffix).unlink(missing_ok=True)

    def _evict(self, wanted: int) -> None:
        """Make room: evict copies idle for an hour, then the least recently used."""
        entries = []
        for path in self._folder.iterdir():
            if not path.suffix:
                size = path.stat().st_size
                entries.append((_used_at(path), size, path))
        room = self._cache_bytes - wanted - sum(size for _, size, _ in entries)
        for used_at, size, path in sorted(entries):
            if room >= 0 and time.time() - used_at < _IDLE_SECONDS:
                break
            for suffix in ("", ".lock"):
                path.with_suffix(suffix).unlink(missing_ok=True)
            room += size


def _used_at(kept: Path) -> float:
    lock = kept.with_suffix(".lock")
    return (lock if lock.exists() else kept).stat().st_mtime


def _digest(source: Source) -> str:
    pin = "\n".join([source.bucket or "", source.key or "", source.etag or ""])
    return hashlib.sha256(pin.encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
