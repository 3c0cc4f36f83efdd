"""What people see on standard error while they wait; scripts read standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

_BAR_WIDTH = 30
_LINE_SECONDS = 10.0


def warn(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr)


def tell_where(kind: str, document: dict[str, object], address: str) -> None:
    """Print where a job or a batch is, unless a terminal shows a bar instead."""
    if not sys.stderr.isatty():
        warn(f"{kind} {document['id']} is {document['status']}: {address}")


def show_progress(label: str) -> Callable[[float], None]:
    """Return a function that shows the share that is done.

    On a terminal it draws a bar. Elsewhere it prints a line every ten seconds, and
    nothing for what is done sooner.
    """
    if sys.stderr.isatty():
        return lambda share: _draw(label, share)
    last = time.monotonic()

    def print_line(share: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            warn(f"{label}: {share:.0%}")

    return print_line


def _draw(label: str, share: float) -> None:
    full = round(share * _BAR_WIDTH)
    end = "\n" if share >= 1 else ""
    bar = "#" * full + "." * (_BAR_WIDTH - full)
    print(f"\r{label:<10} [{bar}] {share:4.0%}", end=end, file=sys.stderr, flush=True)
