"""Health check of a container: ``python -m worker.alive worker`` or ``... reaper``.

A worker and the reaper have no port to ask. Both leave a sign of life in the job store,
so the check reads that, which costs one call. ``celery inspect ping`` would ask every
worker there is. While the store is away nothing is known, and the check passes: to
start a worker again would bring back no store, but end the tasks that it has.
"""

from __future__ import annotations

import argparse
import socket
import sys

from common.errors import StoreUnavailable
from common.jobs.store import JobStore
from common.settings.load import Settings

ROLES = ("worker", "reaper")
# As long as a worker is listed without a sign of life; /readyz waits as long, too.
SILENCE_SECONDS = 30.0


def fault(store: JobStore, role: str, host: str, silence_seconds: float) -> str | None:
    """Return why the part of this host must be started again, or None.

    The reaper's sign names no host: where several run, the check sees the last of them
    end. Raises StoreUnavailable.
    """
    if role == "worker":
        names = [str(one["name"]) for one in store.workers()]
        if any(name.startswith(f"{host}:") for name in names):
            return None
        return f"no worker of {host} was heard of in {silence_seconds:g} s"
    silence = store.stats().reaper_seconds
    if silence is None:
        return "no reaper was heard of"
    if silence > silence_seconds:
        return f"the reaper was last heard of {silence:.0f} s ago"
    return None


def main(words: list[str]) -> str | None:
    """Return why the part is not alive, or None; argparse ends a wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m worker.alive")
    parser.add_argument("role", choices=ROLES, help="what to look for")
    role = parser.parse_args(words).role
    settings = Settings.load()
    silence = max(SILENCE_SECONDS, 6 * settings.lease.sweep_seconds)
    try:
        return fault(JobStore.connect(settings), role, socket.gethostname(), silence)
    except StoreUnavailable:
        return None


if __name__ == "__main__":
    # A text is printed on standard error, with status 1.
    sys.exit(main(sys.argv[1:]))
