"""Open sources on this host: choose how each is read, and keep what was read.

A copy is named by the digest of what pins its source. All tasks of this host that read
the source share it, also those of later jobs. Each task gets a hard link to it, so
eviction never removes a file that FFmpeg is reading.

A copy is kept until nobody has used it for FRAMEMILL_WORKER_CACHE_SECONDS, or until
others need its place (FRAMEMILL_WORKER_CACHE_BYTES). What counts is the space that it
takes on the disk, not the length of its source.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import TooLarge
from common.model import Source, SourceReading, WholeReason
from common.settings.load import Settings
from common.storage.port import BlobStore, RangesIgnored, disk_errors
from worker.egress import EgressClient
from worker.media.source_file import LocalFile, SourceFile
from worker.source.block_map import BlockMap, Layout
from worker.source.origin import BlobOrigin, Origin, UrlOrigin
from worker.source.sparse_copy import SparseCopy, Surroundings

_MIB = 1024 * 1024
_BLOCK = 128 * 1024
_DOING = "keeping a local copy of the source"
_DATA, _MAP, _LOCK = ".data", ".map", ".lock"
# How many bytes all processes may add to the cache before its size is looked at again.
_GROWTH = 64 * _MIB


@dataclass
class OpenSource:
    """A source that a task reads; :meth:`close` ends it, and ``file`` with it."""

    file: SourceFile
    _copy: SparseCopy | None = field(default=None)

    @property
    def reading(self) -> SourceReading:
        """How it was read so far, and how much."""
        return self._copy.reading if self._copy else SourceReading(access="local")

    def close(self) -> None:
        """Stop fetching."""
        if self._copy:
            self._copy.close()


class SourceCache:
    """Pins sources, and opens them.

    ``intercepts`` tells whether this host can fetch what a program is about to read;
    without that, every source is fetched whole.
    """

    def __init__(
        self,
        settings: Settings,
        blobs: BlobStore,
        egress: EgressClient,
        intercepts: Callable[[], bool],
    ) -> None:
        self._limit = settings.limits.source_bytes
        self._settings = settings.worker
        self._folder = settings.worker.scratch / "cache"
        self._blobs = blobs
        self._egress = egress
        self._intercepts = intercepts
        self._growth = 0

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

    def whole_reason(self, size: int | None = None) -> WholeReason | None:
        """Return why a source of ``size`` bytes is fetched whole, None if it is not.

        ``size`` None is any large one. It may still turn out that the storage ignores
        ranges.
        """
        if size is not None and size < self._settings.sparse_bytes:
            return "small"
        return None if self._intercepts() else "kernel"

    def open(
        self,
        source: Source,
        path: Path,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> OpenSource:
        """Open the pinned source as a file at ``path``, where nothing is yet.

        ``path`` is on the file system of the cache. A file of a local store that lies
        on another one is opened where it is. Raises SourceError, StorageUnavailable,
        Unreachable, DiskFull; Interrupted once ``should_stop`` says so.
        """
        if source.kind != "url":
            found = self._blobs.path_of(
                source.key or "", bucket=source.bucket, etag=source.etag
            )
            if found is not None:
                return OpenSource(LocalFile(_linked(found, path)))
        copy = self._open_copy(source, path, should_stop)
        try:
            self._begin(copy, self.whole_reason(source.size or 0))
        except BaseException:
            copy.close()
            raise
        return OpenSource(copy, copy)

    def adopt(self, source: Source, path: Path) -> None:
        """Take a complete file of the pinned source; nothing is left at ``path``.

        It is a copy like one that was fetched. Raises DiskFull, StorageUnavailable.
        """
        layout = Layout(source.size or 0, _BLOCK)
        local = self._blobs.path_of(source.key or "", etag=source.etag)
        with disk_errors(_DOING), self._locked():
            if local is None:
                kept = self._path(source)
                self._remove(kept)
                path.rename(kept)
                blocks = BlockMap.create(kept.with_suffix(_MAP), layout)
                blocks.mark((0, layout.blocks))
                blocks.close()
            path.unlink(missing_ok=True)

    def tidy(self) -> int:
        """Remove what nobody has used for long; return how many copies."""
        with disk_errors(_DOING), suppress(FileNotFoundError), self._locked():
            return self._evict(0, keep=None)
        return 0

    def _begin(self, copy: SparseCopy, reason: WholeReason | None) -> None:
        if reason is None:
            try:
                copy.ensure(0, _BLOCK)  # every program begins there
            except RangesIgnored:
                reason = "no_ranges"
        if reason is not None:
            copy.access, copy.access_reason = "whole", reason
            copy.ensure_whole(by_ranges=reason != "no_ranges")

    def _open_copy(
        self, source: Source, path: Path, should_stop: Callable[[], bool]
    ) -> SparseCopy:
        kept, layout = self._path(source), Layout(source.size or 0, _BLOCK)
        name = kept.stem
        with disk_errors(_DOING), self._locked():
            blocks = self._open_entry(kept, layout)
            # The map's time is that of the last use; the block map's writes set it too.
            os.utime(kept.with_suffix(_MAP))
            os.link(kept, path)
            missing = (layout.blocks - blocks.present) * _BLOCK
            wanted = missing if self.whole_reason(layout.size) else 0
            self._evict(wanted, keep=name)

        def make_room() -> None:
            with self._locked():
                self._evict(self._settings.cache_bytes, keep=name)

        def grown(size: int) -> None:
            self._growth += size
            if self._growth >= _GROWTH:
                self._growth = 0
                with self._locked():
                    self._evict(0, keep=name)

        around = Surroundings(self._settings.fetches, should_stop, grown, make_room)
        return SparseCopy(path, blocks, self._origin(source), around)

    def _origin(self, source: Source) -> Origin:
        if source.kind == "url":
            return UrlOrigin(self._egress, source)
        return BlobOrigin(self._blobs, source)

    def _path(self, source: Source) -> Path:
        return self._folder / (_digest(source) + _DATA)

    @staticmethod
    def _remove(kept: Path) -> None:
        for path in (kept, kept.with_suffix(_MAP)):
            path.unlink(missing_ok=True)

    def _open_entry(self, kept: Path, layout: Layout) -> BlockMap:
        """Return the map of a copy; a copy that cannot be trusted is begun anew."""
        map_path = kept.with_suffix(_MAP)
        if kept.exists() and kept.stat().st_size == layout.size:
            blocks = BlockMap.open(map_path, layout)
            if blocks is not None:
                return blocks
        self._remove(kept)
        descriptor = os.open(kept, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.truncate(descriptor, layout.size)
        finally:
            os.close(descriptor)
        return BlockMap.create(map_path, layout)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the folder's names, not what is in the files."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _evict(self, wanted: int, *, keep: str | None) -> int:
        """Make room for ``wanted`` bytes; remove what is idle, and then by age of use.

        Copies in use come last: the room that they take is free only when they end.
        """
        entries = [one for one in self._entries() if one.name != keep]
        used = sum(one.size for one in entries)
        own = self._folder / f"{keep}{_DATA}"
        used += _allocated(own) if keep else 0
        over = used + wanted - self._settings.cache_bytes
        removed = 0
        for one in sorted(entries, key=lambda one: (one.in_use, one.used_at)):
            idle = time.time() - one.used_at >= self._settings.cache_seconds
            if over <= 0 and (one.in_use or not idle):
                continue
            for path in one.paths:
                path.unlink(missing_ok=True)
            over -= one.size
            removed += 1
        return removed

    def _entries(self) -> list[_Entry]:
        groups: dict[str, list[Path]] = {}
        for path in self._folder.iterdir():
            if path.name != _LOCK:
                groups.setdefault(path.stem, []).append(path)
        return [_Entry.of(name, paths) for name, paths in groups.items()]


@dataclass(frozen=True)
class _Entry:
    """A copy in the cache: ``size`` is what it takes of the disk."""

    name: str
    paths: list[Path]
    size: int
    used_at: float
    in_use: bool

    @classmethod
    def of(cls, name: str, paths: list[Path]) -> _Entry:
        stats = [path.stat() for path in paths]
        return cls(
            name,
            paths,
            sum(stat.st_blocks * 512 for stat in stats),
            max(stat.st_mtime for stat in stats),
            any(stat.st_nlink > 1 for stat in stats),
        )


def _allocated(path: Path) -> int:
    return path.stat().st_blocks * 512 if path.exists() else 0


def _linked(found: Path, path: Path) -> Path:
    """Return ``path`` as a second name of a file, or the file if it cannot have one."""
    with suppress(OSError):
        path.hardlink_to(found)
        return path
    return found


def _digest(source: Source) -> str:
    pin = [source.bucket, source.key, source.url if source.kind == "url" else None]
    pin += [source.etag, source.modified, str(source.size)]
    return hashlib.sha256("\n".join(one or "" for one in pin).encode()).hexdigest()
