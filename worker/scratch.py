"""Folders for the files of an attempt or a process, and removal of those left behind.

A process holds a lock in each folder it uses. The kernel drops the lock when the
process dies, so a folder that can be locked is not in use.
"""

from __future__ import annotations

import fcntl
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from common.storage.port import disk_errors

Owner = Literal["attempts", "processes"]
_OWNERS: tuple[Owner, ...] = get_args(Owner)
_LOCK = ".lock"
# Between making a folder and locking it no process takes that long.
_UNLOCKED_SECONDS = 60.0
_ROOM_BYTES = 1 << 20


class ScratchDir:
    """A folder of one owner, locked by this process until it is removed."""

    def __init__(self, scratch: Path, owner: Owner = "attempts") -> None:
        """Make a new folder below ``scratch``; raises DiskFull, StorageUnavailable."""
        with disk_errors("making a scratch folder"):
            self.path = scratch.resolve() / owner / uuid.uuid4().hex
            self.path.mkdir(parents=True)
            # Locked before it has its name: a lock that is found is held, or was.
            fresh = self.path / f"{_LOCK}.new"
            self._lock = fresh.open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            fresh.rename(self.path / _LOCK)

    def remove(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self.path)
        self._lock.close()


def check_scratch(scratch: Path) -> None:
    """Raise DiskFull or StorageUnavailable if nothing can be written there."""
    folder = ScratchDir(scratch)
    try:
        with disk_errors("writing to the scratch folder"):
            (folder.path / "room").write_bytes(bytes(_ROOM_BYTES))
    finally:
        folder.remove()


def remove_abandoned(scratch: Path) -> int:
    """Remove the folders of dead processes; return their number."""
    removed = 0
    for path in (one for owner in _OWNERS for one in (scratch / owner).glob("*")):
        # Another process may be removing it at the same time.
        with suppress(FileNotFoundError):
            if _is_abandoned(path):
                shutil.rmtree(path)
                removed += 1
    return removed


def _is_abandoned(path: Path) -> bool:
    """Return whether no process holds the folder; raise FileNotFoundError if gone."""
    try:
        with (path / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:  # not locked yet
        return time.time() - path.stat().st_mtime > _UNLOCKED_SECONDS
    return True
