"""What a busy machine does not change about times."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def quickest(act: Callable[[], Any], times: int = 5) -> float:
    """Return the least of several runs, in seconds: what others do only adds to it."""
    found = []
    for _ in range(times):
        began = time.monotonic()
        act()
        found.append(time.monotonic() - began)
    return min(found)


def least_cpu(*words: str, cwd: Path, times: int = 5) -> float:
    """Return the least CPU seconds of several runs of Python with these words."""
    found = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *words], cwd=cwd, check=True, capture_output=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime
        found.append(spent - before.ru_utime - before.ru_stime)
    return min(found)
