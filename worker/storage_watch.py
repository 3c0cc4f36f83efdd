"""Check from this host, in a thread, that the storage and the disk take its files.

Without it, wrong keys or a wrong clock would show only when a caller's job fails. The
result goes to the log, to the job store (so that this host claims nothing meanwhile)
and from there to ``/readyz``.
"""

from __future__ import annotations

import threading

import structlog

from common.errors import PartAway, StorageDenied, StoreUnavailable
from common.model import ErrorInfo
from common.runtime import Runtime
from worker.scratch import check_scratch

log = structlog.get_logger(__name__)

# S3 refuses requests signed 15 minutes off; a synchronised clock is right to a second.
SKEW_SECONDS = 30.0


class StorageWatch:
    """Checks the storage periodically; ``name`` is the worker's."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._runtime = runtime
        self._name = name
        self._away = False
        self._skewed = False

    def run(self, stop: threading.Event, pause_seconds: float) -> None:
        """Check every ``pause_seconds`` until ``stop`` is set."""
        while True:
            try:
                self.check()
            except StoreUnavailable as error:
                log.warning("storage.not_reported", error=error.detail)
            if stop.wait(pause_seconds):
                return

    def check(self) -> None:
        """Check storage and scratch folder once; report an outage to the job store.

        Raises StoreUnavailable.
        """
        try:
            self._runtime.blobs.check()
            check_scratch(self._runtime.settings.worker.scratch)
        except PartAway as error:
            if not self._away:
                denied = isinstance(error, StorageDenied)
                write = log.error if denied else log.warning
                write("storage.away", code=error.code, error=error.detail)
            self._away = True
            self._runtime.store.part_away(self._name, ErrorInfo(**error.as_dict()))
        else:
            if self._away:
                log.info("storage.back")
            self._away = False
        finally:
            self._compare_clocks()

    def _compare_clocks(self) -> None:
        skew = self._runtime.blobs.clock_skew()
        skewed = skew is not None and abs(skew) > SKEW_SECONDS
        if skewed and not self._skewed:
            log.error("clock.skewed", seconds=skew, against="the storage")
        self._skewed = skewed
