"""The log of a part: a file of bounded size, and the one before it.

A part writes into a pipe and a thread here copies it to the file, so no line falls
between the old file and the new one, and no part has to open its log again.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

LIMIT_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_LAST_SECONDS = 2.0


class Log:
    """What a part says, in ``path``; what it said before, in ``path`` and ``.1``.

    A file that has ``limit`` bytes, give or take 64 KiB, becomes the old one at the end
    of a line. Both files of an earlier run are removed.
    """

    def __init__(self, path: Path, limit: int = LIMIT_BYTES) -> None:
        self.path = path
        self._old = path.with_name(f"{path.name}.1")
        self._limit = limit
        self._lost = 0
        self._reader: threading.Thread | None = None
        self._old.unlink(missing_ok=True)
        path.write_bytes(b"")

    def open(self) -> int:
        """Return the end of a pipe to write to; close it once a process has it."""
        source, end = os.pipe()
        self._reader = threading.Thread(
            target=self._copy, args=(source,), name=f"log {self.path}", daemon=True
        )
        self._reader.start()
        return end

    def flush(self) -> None:
        """Wait for the last words of a part that has ended, 2 s at the most.

        A grandchild that left the part's process group may hold the pipe for longer.
        """
        if self._reader is not None:
            self._reader.join(_LAST_SECONDS)

    def _copy(self, source: int) -> None:
        with os.fdopen(source, "rb", buffering=0) as pipe:
            while chunk := pipe.read(_CHUNK_BYTES):
                try:
                    self._append(chunk)
                except OSError as error:
                    # A part whose log has no room must not wait for it.
                    self._lost += len(chunk)
                    with suppress(OSError):
                        self._confess(error)

    def _append(self, chunk: bytes) -> None:
        size = self.path.stat().st_size
        if size + len(chunk) > self._limit and (end := chunk.rfind(b"\n") + 1):
            self._write(chunk[:end])
            self.path.replace(self._old)
            chunk = chunk[end:]
        self._write(chunk)

    def _write(self, chunk: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            while chunk:
                chunk = chunk[file.write(chunk) :]

    def _confess(self, error: OSError) -> None:
        """Write into the log how much of it is missing, once there is room for that."""
        self._write(f"[{self._lost} bytes of this log are lost: {error}]\n".encode())
        self._lost = 0
