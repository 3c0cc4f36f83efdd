"""Run the reaper and the janitor: ``python -m worker.maintenance``.

Every FRAMEMILL_LEASE_SWEEP_SECONDS the reaper looks for leases that ran out and for
messages that no worker claimed. The janitor removes what is past its retention:
records, sources, and results that no record names. A third part stores the manifests
of jobs, and a fourth logs the queues if FRAMEMILL_LOG_QUEUES_SECONDS is set. They have
threads of their own, so that a slow blob store does not delay the reaper. Two such
processes may run at once; every step can be repeated.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType

import structlog

from common.errors import StoreUnavailable
from common.jobs.metrics import StoreCollector
from common.runtime import Runtime, build_runtime, check_broker
from common.settings.load import Settings
from common.telemetry import logging as telemetry
from common.telemetry import metrics
from common.uploads import Uploads
from worker.maintenance.janitor import Janitor
from worker.maintenance.queues import log_queues
from worker.maintenance.reaper import Reaper

log = structlog.get_logger(__name__)

CLEANUP_SECONDS = 30.0
MANIFEST_SECONDS = 1.0
_JOIN_SECONDS = 5.0


class Maintenance:
    """Runs the reaper and the janitor until it is stopped."""

    def __init__(self, runtime: Runtime) -> None:
        lease = runtime.settings.lease
        self._store = runtime.store
        self._dispatcher = runtime.dispatcher
        self._pause = lease.sweep_seconds
        self._reaper = Reaper(runtime.store, runtime.dispatcher, lease.sweep_seconds)
        uploads = Uploads.connect(runtime.settings, runtime.blobs)
        hours = runtime.settings.retention.upload_hours
        self._janitor = Janitor(runtime.store, runtime.blobs, uploads, hours)
        self._manifests = runtime.manifests
        self._queues_seconds = runtime.settings.log.queues_seconds
        self._failure: BaseException | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set, through outages of store, broker and blobs.

        Raises SettingsError if a Redis server is configured so that it would lose jobs
        or messages, and any unexpected error of either half: a supervisor is to restart
        the process.
        """
        beside = [
            self._beside(
                "janitor", self._janitor.clean, max(CLEANUP_SECONDS, self._pause), stop
            ),
            self._beside("manifests", self._manifests.sync, MANIFEST_SECONDS, stop),
        ]
        if self._queues_seconds:
            report = partial(log_queues, self._store)
            beside.append(self._beside("queues", report, self._queues_seconds, stop))
        _repeat(self._store.check_server, stop, self._pause, once=True)
        # Keys of versions that had no manifests get one.
        _repeat(self._store.keys.mark_all, stop, self._pause, once=True)
        check_broker(self._dispatcher)
        for thread in beside:
            thread.start()
        try:
            _repeat(self._reaper.sweep, stop, self._pause)
        finally:
            stop.set()
            for thread in beside:
                thread.join(_JOIN_SECONDS)
        if self._failure is not None:
            raise self._failure

    def _beside(
        self,
        name: str,
        step: Callable[[], object],
        seconds: float,
        stop: threading.Event,
    ) -> threading.Thread:
        """Return a thread that repeats a step beside the reaper."""

        def work() -> None:
            try:
                _repeat(step, stop, seconds)
            except BaseException as error:  # noqa: BLE001 - raised again by run()
                self._failure = error
                stop.set()

        return threading.Thread(target=work, name=name, daemon=True)


def _repeat(
    step: Callable[[], object],
    stop: threading.Event,
    pause_seconds: float,
    *,
    once: bool = False,
) -> None:
    """Repeat a step until ``stop`` is set, or with ``once`` until it succeeds."""
    away = False
    while not stop.is_set():
        try:
            step()
        except StoreUnavailable as error:
            log.warning("maintenance.store_away", error=error.detail)
            away = True
        else:
            if away:
                log.info("maintenance.store_back")
            if once:
                return
            away = False
        stop.wait(pause_seconds)


def main() -> None:
    """Run the maintenance until SIGTERM or SIGINT."""
    settings = Settings.load()
    telemetry.configure(settings.log)
    stop = threading.Event()

    def end(number: int, _frame: FrameType | None) -> None:
        log.info("maintenance.stopping", signal=signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    log.info("maintenance.started", every_seconds=settings.lease.sweep_seconds)
    runtime = build_runtime(settings)
    metrics.serve(settings.metrics, "reaper", StoreCollector(runtime.store))
    Maintenance(runtime).run(stop)
    log.info("maintenance.stopped")


if __name__ == "__main__":
    main()
