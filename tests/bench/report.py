"""The table, the JSON document, and the facts about the machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.results import Line, Measured

_HEAD = ("row", "measure", "value", "beside", "its value", "ratio", "range", "target")
# How each measure is written; whatever is not here is a plain number.
_SHOWN = {
    "wall": "{:.2f} s",
    "cpu": "{:.2f} s CPU",
    "cpu of s3": "{:.2f} s CPU",
    "share": "{:.2%} of the bytes",
    "read": "{:,.0f} bytes read",
    "made": "{:,.0f} bytes made",
    "ssim": "{:.4f}",
    "largest process": "{:.0f} MB",
    "growth of the API": "{:.0f} MB",
    "p99": "{:.1f} ms",
    "overhead": "{:.0f} ms",
}


def text(lines: Iterable[Line]) -> str:
    """Return the table for a terminal."""
    cells = [[*_HEAD, "met"], *(_cells(line, line.row) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    )


def markdown(lines: Iterable[Line]) -> str:
    """Return the table for a page."""
    rows = [[*_HEAD, "met"], ["---"] * (len(_HEAD) + 1)]
    rows += [_cells(line, line.text) for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def miss(line: Line) -> str:
    """Return by how much a line misses its target, as one sentence."""
    beside = f" of {line.side}" if line.side else ""
    return (
        f"{line.row}: {line.measure}{beside} is {_number(line, line.ratio)}, "
        f"the target {_bound(line)}: missed {line.missed_by:.2f} times"
    )


def document(facts: dict[str, Any], measured: Iterable[Measured]) -> dict[str, Any]:
    """Return everything that was measured, for programs."""
    return facts | {
        "rows": [
            {
                "name": one.row.name,
                "text": one.row.text,
                "samples": one.samples,
                "missing": one.missing,
                "fault": one.fault,
                "lines": [
                    asdict(line) | {"passes": line.passes} for line in one.lines()
                ],
            }
            for one in measured
        ]
    }


def machine(root: Path, against: str | None, seconds: float) -> dict[str, Any]:
    """Return what ran, where and for how long."""

    git_program = shutil.which("git") or "git"

    def git(*words: str) -> str:
        done = subprocess.run(
            [git_program, "-C", root, *words],
            check=False,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*: (.+)$", facts, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "revision": git("describe", "--always", "--dirty", "--abbrev=10"),
        "against": against,
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory": memory,
        "kernel": platform.release(),
        "seconds": round(seconds, 1),
    }


def _cells(line: Line, name: str) -> list[str]:
    other = "" if line.other is None else _value(line.measure, line.other)
    return [
        name,
        line.measure,
        _value(line.measure, line.value),
        line.side,
        other,
        _number(line, line.ratio) if line.side else "",
        f"{_number(line, line.least)} to {_number(line, line.most)}",
        _bound(line),
        {True: "yes", False: f"no, {line.missed_by:.2f} x", None: ""}[line.passes],
    ]


def _value(measure: str, value: float) -> str:
    return _SHOWN.get(measure, "{:,.3g}").format(value)


def _number(line: Line, value: float) -> str:
    return f"{value:.3g}" if line.side else _value(line.measure, value)


def _bound(line: Line) -> str:
    for sign, bound in (("<=", line.target.most), (">=", line.target.least)):
        if bound is not None:
            return f"{sign} {_number(line, bound)}"
    return ""
