"""What processes use: CPU of a whole tree, its memory, and of one command.

The CPU of a tree is that of its living processes and of all that have ended, which
the kernel adds to the parent that waited for them. The kernel counts in 10 ms.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
# Places among the words behind the name in /proc/PID/stat.
_PARENT, _OWN, _USED = 1, slice(11, 13), slice(11, 15)
_PEAK_SECONDS = 0.1


@dataclass(frozen=True)
class Used:
    """Seconds by the clock, seconds of CPU, and the largest process in bytes."""

    wall: float
    cpu: float
    memory: int


def processes(root: int) -> list[int]:
    """Return the living processes under ``root``, itself too."""
    return list(_tree(_stats(), root))


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """Return what each process and all under it have used, the ended ones included."""
    stats = _stats()
    return {
        name: sum(
            sum(int(word) for word in stats[pid][_USED]) for pid in _tree(stats, root)
        )
        / _TICK
        for name, root in roots.items()
    }


def own_seconds(pid: int) -> float:
    """Return what a process has used so far, without its children."""
    return sum(int(word) for word in _words(pid)[_OWN]) / _TICK


def _stats() -> dict[int, list[str]]:
    """Return the words of every ``/proc/PID/stat`` behind the program's name."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                found[int(folder.name)] = _words(int(folder.name))
    return found


def _words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _tree(stats: Mapping[int, list[str]], root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for pid, words in stats.items():
        children.setdefault(int(words[_PARENT]), []).append(pid)
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in stats:
            yield pid
            waiting += children.get(pid, [])


def memory(pid: int, field: str = "VmRSS") -> int:
    """Return a figure of ``/proc/PID/status`` in bytes; 0 where there is none."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * 1024
    return 0


def run(
    command: Sequence[str | Path], folder: Path | None = None, *, quiet: bool = False
) -> Used:
    """Run a command to its end, in a folder; raise CalledProcessError where it fails.

    ``quiet`` drops what it writes to standard error.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Used(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


@contextmanager
def peaks(root: int) -> Iterator[dict[int, tuple[int, str]]]:
    """Watch the memory of a tree: the largest ``VmHWM`` of each process, and its name.

    What it reads costs CPU: keep it away from runs that are measured.
    """
    found: dict[int, tuple[int, str]] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_PEAK_SECONDS):
            for pid in processes(root):
                high = memory(pid, "VmHWM")
                if high > found.get(pid, (0, ""))[0]:
                    found[pid] = high, _name(pid)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""
