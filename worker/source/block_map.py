"""The record of which blocks of a sparse file are there, shared between processes.

The record is a file: a header, then one byte a block, 1 where the block is there. A
process locks the bytes of the blocks that it fetches, so no block is fetched twice at
once. The kernel drops the locks of a process that dies.

A byte is set after the block was written. That order holds for other processes and
when a process is killed, but not when the host loses power, since neither file is
flushed. So the header names the boot, and a record of another boot is not trusted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

Run = tuple[int, int]

_MAGIC = b"framemill blocks"
_HEADER = struct.Struct("<16s36sQQ")
_FIRST = 128  # offset of the first block's byte
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# struct flock of 64-bit Linux: type, whence, start, length, pid.
_LOCK = struct.Struct("hhqqi4x")
_TAKEN = frozenset({errno.EACCES, errno.EAGAIN})


@cache
def boot_id() -> str:
    """Return the name of this boot of the kernel: 36 characters."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


@dataclass(frozen=True)
class Layout:
    """A file of ``size`` bytes in blocks of ``block`` bytes; the last may be short."""

    size: int
    block: int

    @property
    def blocks(self) -> int:
        """Return the number of blocks."""
        return -(-self.size // self.block)

    def covering(self, start: int, end: int) -> Run:
        """Return the blocks, from the first to before the last, that hold the bytes.

        None do of what lies past the end.
        """
        last = -(-min(end, self.size) // self.block)
        return min(start // self.block, last), last

    def bytes_of(self, run: Run) -> Run:
        """Return the first byte of a run of blocks and the byte after its last."""
        return run[0] * self.block, min(run[1] * self.block, self.size)


class Claim:
    """Locked blocks, from ``run[0]`` to before ``run[1]``; a context manager."""

    def __init__(self, descriptor: int, run: Run) -> None:
        self.run = run
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


class BlockMap:
    """An open record; usable by several threads, and after its file was unlinked."""

    def __init__(self, descriptor: int, layout: Layout) -> None:
        self.layout = layout
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path, layout: Layout) -> Self:
        """Write the record of a file of which nothing is there; raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        head = _HEADER.pack(_MAGIC, boot_id().encode(), layout.size, layout.block)
        os.pwrite(descriptor, head.ljust(_FIRST, b"\0") + bytes(layout.blocks), 0)
        return cls(descriptor, layout)

    @classmethod
    def open(cls, path: Path, layout: Layout) -> Self | None:
        """Return the record at ``path``; None if there is none that can be trusted.

        It must be whole, of this layout and of this boot.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        wanted = _HEADER.pack(_MAGIC, boot_id().encode(), layout.size, layout.block)
        whole = os.fstat(descriptor).st_size == _FIRST + layout.blocks
        if whole and os.pread(descriptor, _HEADER.size, 0) == wanted:
            return cls(descriptor, layout)
        os.close(descriptor)
        return None

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    @property
    def present(self) -> int:
        """Return how many blocks are there."""
        return self._read((0, self.layout.blocks)).count(1)

    def has(self, run: Run) -> bool:
        """Return whether every block of ``run`` is there."""
        return b"\0" not in self._read(run)

    def missing(self, run: Run) -> list[Run]:
        """Return the runs of blocks within ``run`` that are not there."""
        marks = self._read(run)
        found = []
        start = marks.find(b"\0")
        while start >= 0:
            end = marks.find(b"\1", start)
            end = len(marks) if end < 0 else end
            found.append((run[0] + start, run[0] + end))
            start = marks.find(b"\0", end)
        return found

    def mark(self, run: Run) -> None:
        """Record that the blocks of ``run`` have been written."""
        os.pwrite(self._descriptor, b"\1" * (run[1] - run[0]), _FIRST + run[0])

    def claim(self, run: Run) -> Claim | None:
        """Lock the blocks of ``run`` from the first up to one that is locked already.

        Returns None if the first is. Locks are held against every other claim, also of
        this process.
        """
        # A lock belongs to an open file description, so each claim opens its own.
        descriptor = os.open(
            f"/proc/self/fd/{self._descriptor}", os.O_RDWR | os.O_CLOEXEC
        )
        first, end = run
        while end > first:
            taken = _lock(descriptor, first, end)
            if taken is None:
                return Claim(descriptor, (first, end))
            end = taken
        os.close(descriptor)
        return None

    def _read(self, run: Run) -> bytes:
        return os.pread(self._descriptor, run[1] - run[0], _FIRST + run[0])


def _lock(descriptor: int, first: int, end: int) -> int | None:
    """Lock these blocks; return None, or the first block that another has locked."""
    wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _FIRST + first, end - first, 0)
    while True:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            return None
        found = _LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wanted))
        if found[0] != fcntl.F_UNLCK:
            return max(first, int(found[2]) - _FIRST)
