"""A module whose import starts a thread: the server must not fork then."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


def main(words: Sequence[str]) -> None:
    """Do nothing."""
    del words
