"""Let no fork happen while a thread holds what the child process could not let go.

A fork copies the forking thread alone. A lock that another thread holds just then stays
locked in the child for ever; and a child that inherits a locked file keeps it locked
for all processes, however soon the parent closes it. Celery's main process forks a new
pool process whenever one has done its share, while threads of ours run beside it.

So what takes such a lock in a process that may fork does it in :func:`no_fork`. Keep
that short: a fork waits for its end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()
os.register_at_fork(
    before=_lock.acquire,
    after_in_parent=_lock.release,
    after_in_child=_lock.release,
)


@contextmanager
def no_fork() -> Iterator[None]:
    """Have forks of this process wait; programs that ``subprocess`` starts do not."""
    with _lock:
        yield
