"""A thread that asks, from this host, whether the storage takes the service.

A worker whose keys are wrong, or whose clock is off, would else find it out by the
work of its callers. What it finds goes to the log, to the job store (so that this host
claims nothing meanwhile) and from there to ``/readyz``.
"""

from __future__ import annotations

import threading

import structlog

from common.errors import PartAway, StorageDenied, StoreUnavailable
from common.model import ErrorInfo
from common.runtime import Runtime

log = structlog.get_logger(__name__)

# S3 refuses what was signed 15 minutes off; a clock that is kept is right to a second.
SKEW_SECONDS = 30.0


class StorageWatch:
    """Asks the storage again and again; ``name`` is the worker's."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._world = runtime
        self._name = name
        self._away = False
        self._skewed = False

    @property
    def skew(self) -> float | None:
        """How far this host's clock is ahead of the storage's, seconds."""
        return self._world.blobs.clock_skew()

    def run(self, stop: threading.Event, pause_seconds: float) -> None:
        """Look until ``stop`` is set."""
        while True:
            try:
                self.look()
            except StoreUnavailable as error:
                log.warning("storage.not_reported", error=error.detail)
            if stop.wait(pause_seconds):
                return

    def look(self) -> None:
        """Ask the storage once, and report it where it is away.

        Raises StoreUnavailable.
        """
        try:
            self._world.blobs.check()
        except PartAway as error:
            if not self._away:
                tell = log.error if isinstance(error, StorageDenied) else log.warning
                tell("storage.away", code=error.code, error=error.detail)
            self._away = True
            self._world.store.part_away(self._name, ErrorInfo(**error.as_dict()))
        else:
            if self._away:
                log.info("storage.back")
            self._away = False
        finally:
            self._compare_clocks()

    def _compare_clocks(self) -> None:
        skew = self.skew
        skewed = skew is not None and abs(skew) > SKEW_SECONDS
        if skewed and not self._skewed:
            log.error("clock.skewed", seconds=skew, against="the storage")
        self._skewed = skewed
