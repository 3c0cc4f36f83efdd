"""Folders for the files of an attempt, and the removal of those left behind.

A process holds a lock in each folder it uses. The kernel drops the lock when the
process dies, so a folder that can be locked is not in use.
"""

from __future__ import annotations

import fcntl
import shutil
import time
import uuid
from pathlib import Path

from common.storage.port import disk_errors

_LOCK = ".lock"
# Between making a folder and locking it no process takes that long.
_UNLOCKED_SECONDS = 60.0


class ScratchDir:
    """A folder of one attempt, locked by this process until it is removed."""

    def __init__(self, scratch: Path) -> None:
        """Make a new folder below ``scratch``; raises DiskFull, StorageUnavailable."""
        with disk_errors("making a scratch folder"):
            self.path = _root(scratch.resolve()) / uuid.uuid4().hex
            self.path.mkdir(parents=True)
            self._lock = (self.path / _LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self.path)
        self._lock.close()


def remove_abandoned(scratch: Path) -> int:
    """Remove the folders of dead processes; return their number."""
    removed = 0
    for path in _root(scratch).glob("*"):
        try:
            with (path / _LOCK).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
                removed += 1
        except BlockingIOError:
            continue  # its process is alive
        except FileNotFoundError:
            # Not locked yet, or another process is removing it.
            age = time.time() - path.stat().st_mtime if path.exists() else 0.0
            if age > _UNLOCKED_SECONDS:
                shutil.rmtree(path)
                removed += 1
    return removed


def _root(scratch: Path) -> Path:
    return scratch / "attempts"
