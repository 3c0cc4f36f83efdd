"""The local copy of a source, shared by all tasks on this host.

A copy is kept under the digest of what pins its content (bucket, key, ETag), so
that the outputs of a job, and the parts of an output, download it once. Users get a
hard link: taking a copy out of the cache never pulls a file from under FFmpeg.
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


class Sources:
    """Brings sources here and keeps them for a while."""

    def __init__(self, settings: Settings, blobs: BlobStore) -> None:
        self._limit = settings.limits.source_bytes
        self._cache_bytes = settings.worker.cache_bytes
        self._folder = settings.worker.scratch / "cache"
        self._blobs = blobs

    def pin(self, source: Source) -> Source:
        """Fix what the bytes are: size and ETag, once, before anything is read.

        Raises SourceNotFound, SourceChanged when a pin that is there already does
        not hold, TooLarge, StorageUnavailable.
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

    def bring(self, source: Source, path: Path) -> None:
        """Put the pinned source at ``path``; raises what BlobStore.fetch raises."""
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
                # Not the copy itself: it may be the blob's own inode, whose time of
                # change is its ETag.
                os.utime(kept.with_suffix(".lock"))
                os.link(kept, path)

    def drop(self, source: Source) -> None:
        """Take a source out of the cache; links that are in use stay."""
        kept = self._folder / _digest(source)
        for suffix in ("", ".part", ".lock"):
            kept.with_suffix(suffix).unlink(missing_ok=True)

    def _evict(self, wanted: int) -> None:
        """Make room: what was idle for an hour goes, then the oldest first."""
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
