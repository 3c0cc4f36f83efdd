"""Programs that the sandbox's server runs in tests, by the first word."""

from __future__ import annotations

import json
import mmap
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from worker.media.sandbox.limits import OPEN_FILES

PREPARED_BY = os.getpid()


def _facts() -> None:
    facts = {
        "fds": [number for number in range(OPEN_FILES + 2) if _is_open(number)],
        "environment": sorted(os.environ),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "parent": os.getppid(),
        "prepared_by": PREPARED_BY,
        "session": os.getsid(0) == os.getpid(),
    }
    print(json.dumps(facts))


def _is_open(number: int) -> bool:
    with suppress(OSError):
        os.fstat(number)
        return True
    return False


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _raise() -> None:
    raise LookupError("as a broken file would")


def _bomb() -> None:
    held = bytearray(800 * 1024 * 1024)
    print(len(held))


def _hold() -> None:
    # Shared memory, which no limit of the kernel counts.
    held = mmap.mmap(-1, 300 * 1024 * 1024)
    for page in range(0, len(held), mmap.PAGESIZE):
        held[page] = 1
    time.sleep(600)
    print(len(held))


def _take() -> None:
    held = bytearray()
    while True:
        held += bytes(16 * 1024 * 1024)


def _write() -> None:
    Path("big").write_bytes(b"x" * 2_000_000)


def _hang() -> None:
    Path("pid").write_text(str(os.getpid()))
    time.sleep(600)


def _spin() -> None:
    while True:
        pass


_PROGRAMS: dict[str, Callable[[], None]] = {
    "bomb": _bomb,
    "crash": _crash,
    "facts": _facts,
    "hang": _hang,
    "hold": _hold,
    "raise": _raise,
    "spin": _spin,
    "take": _take,
    "write": _write,
}


def main(words: Sequence[str]) -> None:
    """Run one of them."""
    _PROGRAMS[words[0]]()
