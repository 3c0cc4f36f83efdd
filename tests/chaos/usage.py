"""What a running service takes of its host: a sample at a time, and what has grown.

A sample is a number for each ``(what, part)``. A part's processes are its own and, for
the worker, those that it has started; the short-lived ones among them are left out.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import redis

Sample = dict[tuple[str, str], float]
MIB = 1 << 20
_OLD_SECONDS = 30.0
# Keys that stand for a minute each, until 61 minutes are over.
_OF_MINUTES = "fm:minute:"


@dataclass(frozen=True)
class Bound:
    """How much the median of the last quarter may be over that of the first.

    By a tenth and ``slack`` more; or, with ``most``, whatever it was before.
    """

    slack: float = 0.0
    most: float | None = None

    def allows(self, first: float, last: float) -> bool:
        return last <= self.of(first)

    def of(self, first: float) -> float:
        """Return the highest value that passes."""
        return self.most if self.most is not None else first * 1.1 + self.slack


# The append-only file of a server is rewritten when it has doubled, from 64 MiB on;
# the log of a part is renamed at 16 MiB.
BOUNDS = {
    "RSS, MiB": Bound(8),
    "open files": Bound(6),
    "threads": Bound(4),
    "connections": Bound(4),
    "keys": Bound(20),
    "memory, MiB": Bound(1),
    "append-only file, MiB": Bound(most=128),
    "logs, MiB": Bound(most=300),
    "scratch, MiB": Bound(4),
    "scratch, files": Bound(20),
    "objects": Bound(20),
    "objects, MiB": Bound(2),
}


def of_processes(parts: Mapping[str, int], apart: Collection[int] = ()) -> Sample:
    """Return RSS, open files and threads of each part, by its process id.

    A part has its descendants as well, but for those that are ``apart``.
    """
    children = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError, IndexError):
                words = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                children[int(words[1])].append(int(folder.name))
    found: Sample = {}
    for part, pid in parts.items():
        total = [0.0, 0, 0]
        for one in _family(pid, children, apart):
            with suppress(OSError):  # it ended meanwhile
                total = [a + b for a, b in zip(total, _takes(one), strict=True)]
        found["RSS, MiB", part] = total[0]
        found["open files", part] = total[1]
        found["threads", part] = total[2]
    return found


def _family(
    pid: int, children: Mapping[int, list[int]], apart: Collection[int]
) -> Iterable[int]:
    yield pid
    for child in children.get(pid, ()):
        with suppress(OSError):
            if child not in apart and _age(child) > _OLD_SECONDS:
                yield from _family(child, children, apart)


def _age(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    up = float(Path("/proc/uptime").read_text().split()[0])
    return up - int(words[19]) / os.sysconf("SC_CLK_TCK")


def _takes(pid: int) -> tuple[float, int, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in lines)
    resident = int(facts.get("VmRSS", "0 kB").split()[0]) * 1024 / MIB
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return resident, files, int(facts["Threads"])


def of_server(name: str, url: str) -> Sample:
    """Return what a Valkey keeps: connections, keys, memory."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        facts: Any = client.info()
        keys = sum(not key.startswith(_OF_MINUTES) for key in client.scan_iter())
    return {
        ("connections", name): facts["connected_clients"] - 1,
        ("keys", name): keys,
        ("memory, MiB", name): facts["used_memory"] / MIB,
    }


def of_folder(folder: Path) -> tuple[int, float]:
    """Return the number of files in a folder, and their size in MiB."""
    files, size = 0, 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it was removed meanwhile
                size += os.stat(os.path.join(place, name)).st_blocks * 512  # noqa: PTH116, PTH118 - quick
                files += 1
    return files, size / MIB


@dataclass(frozen=True)
class Row:
    """How a measured value changed from the first quarter to the last."""

    what: str
    part: str
    first: float
    last: float
    bound: float

    @property
    def passes(self) -> bool:
        return self.last <= self.bound


def rows(samples: list[Sample]) -> list[Row]:
    """Compare the medians of the first and the last quarter of the samples."""
    quarter = max(1, len(samples) // 4)
    found = []
    for what, part in samples[-1]:
        first, last = (
            median(one.get((what, part), 0.0) for one in some)
            for some in (samples[:quarter], samples[-quarter:])
        )
        found.append(Row(what, part, first, last, BOUNDS[what].of(first)))
    return found


def table(found: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = ["| what | part | first quarter | last quarter | at most | |"]
    lines += ["|---|---|--:|--:|--:|---|"]
    for row in found:
        numbers = " | ".join(_number(n) for n in (row.first, row.last, row.bound))
        verdict = "" if row.passes else "**grew**"
        lines.append(f"| {row.what} | {row.part} | {numbers} | {verdict} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
