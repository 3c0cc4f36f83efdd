"""Open the source of a task as a local file: choose how it is read.

A source in a folder is read where it lies. Any other gets a local copy, which all tasks
of this host share, also those of later jobs (:mod:`worker.source.copies`). The copy of
a large source is filled with the ranges that programs read; others are fetched whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import SourceChanged, TooLarge
from common.model import Source, SourceReading, WholeReason
from common.settings.load import Settings
from common.storage.port import BlobInfo, BlobStore
from worker.egress import EgressClient
from worker.media.source_file import LocalFile, SourceFile
from worker.source.block_map import Layout
from worker.source.copies import Copies
from worker.source.origin import BlobOrigin, Origin, UrlOrigin
from worker.source.sparse_copy import SparseCopy, Surroundings

_MIB = 1024 * 1024
# Small blocks bring little beside what is wanted; their map must stay small, too.
_LEAST_BLOCK, _MOST_BLOCKS = 16 * 1024, 128 * 1024
# How many bytes this process may add to the cache before its size is looked at again.
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
        self._copies = Copies(settings.worker)
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
        if source.kind == "s3":
            _check_pin(source, info)
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
        if (found := self._path_of(source)) is not None:
            return OpenSource(LocalFile(_linked(found, path)))
        reason = self.whole_reason(source.size or 0)
        name, layout = _name(source), _layout(source)
        blocks = self._copies.open(name, layout, path, growing=reason is not None)
        around = Surroundings(
            self._settings.fetches,
            should_stop,
            grown=lambda size: self._grown(name, size),
            make_room=lambda: self._copies.make_room(name, everything=True),
        )
        copy = SparseCopy(path, blocks, self._origin(source), around)
        try:
            _begin(copy, reason)
        except BaseException:
            copy.close()
            raise
        return OpenSource(copy, copy)

    def adopt(self, source: Source, path: Path) -> None:
        """Take a complete file of the pinned source; nothing is left at ``path``.

        From then on it is a copy like one that was fetched. Raises DiskFull,
        StorageUnavailable.
        """
        if self._path_of(source) is None:
            self._copies.adopt(_name(source), _layout(source), path)
        else:
            path.unlink()

    def _path_of(self, source: Source) -> Path | None:
        if source.kind == "url":
            return None
        return self._blobs.path_of(
            source.key or "", bucket=source.bucket, etag=source.etag
        )

    def _origin(self, source: Source) -> Origin:
        if source.kind == "url":
            return UrlOrigin(self._egress, source)
        return BlobOrigin(self._blobs, source)

    def _grown(self, name: str, size: int) -> None:
        self._growth += size
        if self._growth >= _GROWTH:
            self._growth = 0
            self._copies.make_room(name)


def _check_pin(source: Source, info: BlobInfo) -> None:
    """Raise SourceChanged if an object is not the one that was accepted."""
    for what, accepted, found in (
        ("ETag", source.etag, info.etag),
        ("version", source.version, info.version),
    ):
        if accepted is not None and accepted != found:
            raise SourceChanged(
                f"{source.bucket}/{source.key} has the {what} {found or 'none'} by "
                f"now, and the job was accepted for {accepted}",
                hint="submit the job again for the object as it is now",
            )


def _begin(copy: SparseCopy, reason: WholeReason | None) -> None:
    if reason is None:
        copy.ensure(0, 1)  # every program begins there
        reason = copy.reading.access_reason
    if reason is not None:
        copy.ensure_whole(reason)


def _linked(found: Path, path: Path) -> Path:
    """Return ``path`` as a second name of a file, or the file if it cannot have one."""
    with suppress(OSError):
        path.hardlink_to(found)
        return path
    return found


def _layout(source: Source) -> Layout:
    size, block = source.size or 0, _LEAST_BLOCK
    while block * _MOST_BLOCKS < size:
        block *= 2
    return Layout(size, block)


def _name(source: Source) -> str:
    url = source.url if source.kind == "url" else None
    pin = [source.bucket, source.key, url, source.etag, source.modified]
    text = "\n".join(one or "" for one in [*pin, str(source.size)])
    return hashlib.sha256(text.encode()).hexdigest()
