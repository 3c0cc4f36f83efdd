"""The reaper and the janitor: ``python -m worker.maintenance.__main__``, a process of its own.

The reaper looks every FRAMEMILL_LEASE_SWEEP_SECONDS for leases that ran out and for
doorbells that led to nothing. The janitor removes what retention says: records, results
that no record names, sources. Its thread is apart, so that a slow blob store delays no
rescue. Two sweeps may run; every step of either may be repeated.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

import structlog

from common import runtime
from common.errors import (
    DiskFull,
    FramemillError,
    StorageUnavailable,
    StoreUnavailable,
    Unavailable,
)
from common.jobs.queue import Dispatcher
from common.jobs.store import Chore, JobStore, Reaped
from common.model import JOB_ENDED, Bell
from common.settings.load import Settings
from common.storage.port import BlobStore
from common.telemetry import logging as telemetry
from common.uploads import Uploads

log = structlog.get_logger(__name__)

CHORE_SECONDS = 30.0
TIDY_SECONDS = 3600.0
# An upload may go on for as long as it is continued; nobody uploads for so many times
# of what an idle one has.
_TIDY_LIVES = 7
_BATCH = 200
_RINGS_AT_ONCE = 10
_JOIN_SECONDS = 5.0


class Reaper:
    """Rescues pieces whose worker or whose doorbell was lost."""

    def __init__(
        self, store: JobStore, dispatcher: Dispatcher, sweep_seconds: float
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._ring_seconds = sweep_seconds

    def sweep(self) -> Reaped:
        """Make one pass and ring for what it found. Raises StoreUnavailable."""
        backlog = self._backlog()
        reaped = self._store.reap(_BATCH, backlog)
        if reaped.outage:
            log.warning("sweep.outage", done="extended every lease")
        if reaped.expired or reaped.republished:
            log.info(
                "sweep.rescued",
                expired=reaped.expired,
                failed=reaped.failed,
                republished=reaped.republished,
                skipped=reaped.skipped,
            )
        if backlog is not None:
            self._ring(reaped.bells)
        return reaped

    def _backlog(self) -> dict[str, int] | None:
        try:
            return self._dispatcher.backlog()
        except Unavailable as error:
            log.warning("sweep.broker_away", error=error.detail)
            return None

    def _ring(self, bells: Sequence[Bell]) -> None:
        """Ring within a bound: a pass that took long would look like an outage.

        The store has every bell due again, so a later pass rings for the rest.
        """
        deadline = time.monotonic() + self._ring_seconds
        for start in range(0, len(bells), _RINGS_AT_ONCE):
            if time.monotonic() > deadline:
                log.warning("sweep.rings_left", bells=len(bells) - start)
                return
            self._dispatcher.ring(bells[start : start + _RINGS_AT_ONCE])


class Janitor:
    """Removes what is past its time. Blobs first, then the line that names them.

    ``upload_hours`` is how long an idle upload is kept.
    """

    def __init__(
        self,
        store: JobStore,
        blobs: BlobStore,
        uploads: Uploads,
        upload_hours: float,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._uploads = uploads
        self._unfinished_seconds = _TIDY_LIVES * upload_hours * 3600
        self._tidied = -TIDY_SECONDS

    def clean(self) -> int:
        """Do every chore that is due; give how many. Raises StoreUnavailable."""
        done = self._drop_uploads() + self._tidy()
        while chores := self._store.chores(_BATCH):
            for chore in chores:
                done += self._do(chore)
        return done

    def _drop_uploads(self) -> int:
        try:
            dropped = self._uploads.sweep()
        except (StorageUnavailable, DiskFull) as error:
            log.warning("uploads.deferred", error=error.detail)
            return 0
        if dropped:
            log.info("uploads.dropped", uploads=dropped)
        return dropped

    def _tidy(self) -> int:
        """Remove parts that no record knows: of writers that were killed."""
        if time.monotonic() - self._tidied < TIDY_SECONDS:
            return 0
        self._tidied = time.monotonic()
        try:
            left = sum(
                self._blobs.tidy(prefix, self._unfinished_seconds)
                for prefix in ("in/", "out/")
            )
        except FramemillError as error:
            # A store that does not list uploads must not hold up the other chores.
            log.warning("tidy.deferred", error=error.detail)
            return 0
        if left:
            log.info("tidy.removed", unfinished=left)
        return left

    def _do(self, chore: Chore) -> bool:
        try:
            removed = self._remove(chore)
        except (StorageUnavailable, DiskFull) as error:
            log.warning("chore.deferred", kind=chore.kind, error=error.detail)
            self._store.defer_chore(chore)
            return False
        self._store.finish_chore(chore)
        log.info("chore.done", kind=chore.kind, job=chore.job_id, removed=removed)
        return True

    def _remove(self, chore: Chore) -> int:
        if chore.kind == "blob":
            self._blobs.delete(chore.key)
            return 1
        if chore.kind in {"record", "deleted"}:
            return self._blobs.delete_prefix(f"out/{chore.job_id}/")
        if chore.kind == "litter":
            return self._remove_litter(chore.job_id)
        return 0

    def _remove_litter(self, job_id: str) -> int:
        """Remove results that nothing points at: of lost, refused and failed work.

        The files are listed before the record is read. So where the job has ended by
        then, whatever was listed and is in no record will never be: work that begins
        later has a newer fence, and other keys.
        """
        stored = [blob.key for blob in self._blobs.list(f"out/{job_id}/")]
        job = self._store.get(job_id)
        if job is None or job.status not in JOB_ENDED:
            return 0  # the record's own chore, or the next end, removes it
        kept = {one.key for output in job.outputs for one in output.artifacts}
        litter = [key for key in stored if key not in kept]
        for key in litter:
            self._blobs.delete(key)
        return len(litter)


class Sweep:
    """Runs both until told to stop."""

    def __init__(self, world: runtime.Runtime) -> None:
        lease = world.settings.lease
        self._store = world.store
        self._pause = lease.sweep_seconds
        self._reaper = Reaper(world.store, world.dispatcher, lease.sweep_seconds)
        uploads = Uploads.connect(world.settings, world.blobs)
        hours = world.settings.retention.upload_hours
        self._janitor = Janitor(world.store, world.blobs, uploads, hours)
        self._failure: BaseException | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set, through outages of store, broker and blobs.

        Raises SettingsError for a server that would lose jobs, and whatever defect
        either half meets: a supervisor starts the process again.
        """
        thread = threading.Thread(
            target=self._tend, args=(stop,), name="janitor", daemon=True
        )
        _repeat(self._store.check_server, stop, self._pause, once=True)
        thread.start()
        try:
            _repeat(self._reaper.sweep, stop, self._pause)
        finally:
            stop.set()
            thread.join(_JOIN_SECONDS)
        if self._failure is not None:
            raise self._failure

    def _tend(self, stop: threading.Event) -> None:
        try:
            _repeat(self._janitor.clean, stop, max(CHORE_SECONDS, self._pause))
        except BaseException as error:  # noqa: BLE001 - raised again by run()
            self._failure = error
            stop.set()


def _repeat(
    step: Callable[[], object],
    stop: threading.Event,
    pause_seconds: float,
    *,
    once: bool = False,
) -> None:
    """Do a step again and again; ``once`` ends with its first success."""
    away = False
    while not stop.is_set():
        try:
            step()
        except StoreUnavailable as error:
            log.warning("sweep.store_away", error=error.detail)
            away = True
        else:
            if away:
                log.info("sweep.store_back")
            if once:
                return
            away = False
        stop.wait(pause_seconds)


def main() -> None:
    """Run a sweep until SIGTERM or SIGINT."""
    settings = Settings.load()
    telemetry.configure(settings.log)
    stop = threading.Event()

    def end(number: int, _frame: FrameType | None) -> None:
        log.info("sweep.stopping", signal=signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    log.info("sweep.started", every_seconds=settings.lease.sweep_seconds)
    Sweep(runtime.build(settings)).run(stop)
    log.info("sweep.stopped")


if __name__ == "__main__":
    main()
