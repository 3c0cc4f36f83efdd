"""What a busy machine does not change about times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def quickest(act: Callable[[], Any], times: int = 5) -> float:
    """Return the least of several runs, in seconds: what others do only adds to it."""
    found = []
    for _ in range(times):
        began = time.monotonic()
        act()
        found.append(time.monotonic() - began)
    return min(found)
