"""The copies of sources on this host's disk: their names, their age and their space.

A copy is two files, its data and its block map, named by what pins the source. Whoever
opens one gets a hard link to its data, so the removal of a copy never takes a file from
a program that reads it.

A copy is kept until nobody has used it for FRAMEMILL_WORKER_CACHE_SECONDS, or until
others need its place (FRAMEMILL_WORKER_CACHE_BYTES). What counts is the space that it
takes on the disk, not the length of its source.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.forks import no_fork
from common.settings.sections import Worker
from common.storage.port import disk_errors
from worker.source.block_map import BlockMap, Layout

DOING = "keeping a local copy of the source"
_DATA, _MAP, _LOCK = ".data", ".map", ".lock"


class Copies:
    """The folder of copies, shared by all processes of this host.

    All methods raise DiskFull and StorageUnavailable.
    """

    def __init__(self, settings: Worker) -> None:
        self._folder = settings.scratch / "cache"
        self._most = settings.cache_bytes
        self._seconds = settings.cache_seconds

    def open(self, name: str, layout: Layout, link: Path, *, growing: bool) -> BlockMap:
        """Link a copy's data to ``link``, and return its map.

        If there is no copy, or none that can be trusted, an empty one is made.
        With ``growing`` there is to be room for all that it lacks.
        """
        with self._locked():
            data = self._path(name)
            blocks = self._open(data, layout)
            # The time of the map is that of the last use: each mark sets it, too.
            os.utime(data.with_suffix(_MAP))
            os.link(data, link)
            lacking = (layout.blocks - blocks.present) * layout.block
            self._evict(lacking if growing else 0, keep=name)
        return blocks

    def adopt(self, name: str, layout: Layout, path: Path) -> None:
        """Make a complete file the copy; it is moved away from ``path``."""
        with self._locked():
            data = self._path(name)
            _remove(data)
            path.rename(data)
            blocks = BlockMap.create(data.with_suffix(_MAP), layout)
            blocks.mark((0, layout.blocks))
            blocks.close()
            self._evict(0, keep=name)

    def make_room(self, keep: str, *, everything: bool = False) -> None:
        """Remove copies other than ``keep``, if all together take too much space."""
        with self._locked():
            self._evict(self._most if everything else 0, keep=keep)

    def tidy(self) -> int:
        """Remove what nobody has used for long; return how many copies."""
        if not self._folder.exists():
            return 0
        with self._locked():
            return self._evict(0, keep=None)

    def _path(self, name: str) -> Path:
        return self._folder / (name + _DATA)

    @staticmethod
    def _open(data: Path, layout: Layout) -> BlockMap:
        map_path = data.with_suffix(_MAP)
        if data.exists() and data.stat().st_size == layout.size:
            blocks = BlockMap.open(map_path, layout)
            if blocks is not None:
                return blocks
        _remove(data)
        descriptor = os.open(data, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.truncate(descriptor, layout.size)
        finally:
            os.close(descriptor)
        return BlockMap.create(map_path, layout)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the names in the folder, not what is in the files."""
        with disk_errors(DOING):
            self._folder.mkdir(parents=True, exist_ok=True)
            # A pool process forked meanwhile would keep the lock as long as it lives.
            with no_fork(), (self._folder / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    def _evict(self, wanted: int, *, keep: str | None) -> int:
        """Make room for ``wanted`` bytes; remove what is idle, then by the last use.

        Copies in use come last: the space that they take is free only when they end.
        """
        entries = self._entries()
        over = sum(one.size for one in entries) + wanted - self._most
        removed = 0
        for one in sorted(entries, key=lambda one: (one.in_use, one.used_at)):
            idle = time.time() - one.used_at >= self._seconds and not one.in_use
            if one.name == keep or (over <= 0 and not idle):
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
    """A copy; ``size`` is what it takes of the disk, ``used_at`` its last use."""

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


def _remove(data: Path) -> None:
    for path in (data, data.with_suffix(_MAP)):
        path.unlink(missing_ok=True)
