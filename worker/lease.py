"""One claim in this process: its folder, its heartbeat, its end.

Everything that can happen to an attempt ends in exactly one call on the job store.
While the store is away that call is tried again for a minute; after that the lease
runs out and the reaper gives the task to somebody else. Whoever comes late is
refused by the fence.
"""

from __future__ import annotations

import fcntl
import logging
import random
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import structlog

from common.errors import (
    InternalError,
    Interrupted,
    MediaError,
    StorageDenied,
    StoreUnavailable,
)
from common.jobs.store import Claim, Outcome, Refusal
from common.model import AttemptReport, Source
from common.runtime import Runtime
from worker.media.engine import Engine, Watch
from worker.retry import judge
from worker.source.whole import Sources

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 60.0
_NEWBORN_SECONDS = 60.0
_TICK_SECONDS = 1.0
_VISIBLE_STEP = 0.02


@dataclass(frozen=True)
class WorkerContext:
    """What a worker process works with; ``name`` tells it from others."""

    runtime: Runtime
    engine: Engine
    sources: Sources
    name: str


Work = Callable[["Attempt"], Outcome]
Answer = TypeVar("Answer")


def run(context: WorkerContext, task: str, task_id: str, work: Work) -> None:
    """Claim a task, do the work, settle it, ring for what comes next.

    Raises only what ends the process (SystemExit and the like), after giving the
    claim back; StoreUnavailable before a claim is had (the reaper rings again).
    """
    runtime = context.runtime
    # A redelivered message has the same task id: only the random half makes two
    # deliveries two claimants.
    token = f"{task_id}:{uuid.uuid4().hex}"
    claim = runtime.store.claim(task, token, context.name)
    if isinstance(claim, Refusal):
        log.info("task.skipped", task=task, reason=claim.reason)
        return
    runtime.dispatcher.enqueue(claim.messages)
    with structlog.contextvars.bound_contextvars(
        job=claim.job_id, task=task, attempt=claim.attempt, fence=claim.fence
    ):
        started = time.monotonic()
        with Attempt(context, claim) as attempt:
            outcome = attempt.finish(work)
        log.info(
            "task.settled",
            applied=outcome.applied,
            seconds=round(time.monotonic() - started, 3),
        )
        runtime.dispatcher.enqueue(outcome.messages)
        if outcome.job_ended and attempt.source is not None:
            context.sources.drop(attempt.source)


class Attempt:
    """A live claim. A context manager: it owns a folder and a heartbeat thread."""

    def __init__(self, context: WorkerContext, claim: Claim) -> None:
        self.context = context
        self.claim = claim
        self.source: Source | None = None
        self._store = context.runtime.store
        self._beat_seconds = context.runtime.settings.lease.beat_seconds
        self._progress = 0.0
        self._stop_reason: str | None = None
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._scratch_dir = ScratchDir.make(context.runtime.settings.worker.scratch)

    @property
    def folder(self) -> Path:
        """The attempt's own folder; it goes with the attempt."""
        return self._scratch_dir.path

    @property
    def watch(self) -> Watch:
        """What the engine reports progress to, and hears a stop from."""
        return Watch(self._set_progress, lambda: self._stop_reason is not None)

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._heart.join()
        self._scratch_dir.remove()

    def finish(self, work: Work) -> Outcome:
        """Do the work and settle the claim, whatever comes of it."""
        try:
            return work(self)
        except BaseException as error:
            outcome = self._give_back(error)
            if not isinstance(error, Exception):
                raise
            return outcome

    def bring(self, source: Source) -> Path:
        """Put the pinned source into the folder, once.

        Raises what Sources.bring raises.
        """
        self.source = source
        path = self.folder / "source"
        if not path.exists():
            self.context.sources.bring(source, path)
        self.check()
        return path

    def check(self) -> None:
        """Raise Interrupted when the attempt was told to stop."""
        if self._stop_reason is not None:
            raise Interrupted(f"the attempt was stopped: {self._stop_reason}")

    def settle(self, transition: Callable[[], Answer]) -> Answer | Outcome:
        """Call the store, again and again through an outage of up to a minute."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            try:
                return transition()
            except StoreUnavailable as error:
                if time.monotonic() > deadline:
                    # Crash window: the lease runs out, the reaper takes over.
                    log.exception("task.abandoned", error=error.detail)
                    return Outcome(applied=False, job_ended=False, messages=[])
                time.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - jitter, no secret

    def _give_back(self, error: BaseException) -> Outcome:
        claim = self.claim
        verdict = judge(error, claim.attempt, random.random())  # noqa: S311 - jitter
        if self._stop_reason == "lost":
            log.warning("task.lost")
            return Outcome(applied=False, job_ended=False, messages=[])
        defect = verdict.error and verdict.error.code == InternalError.code
        alarm = defect or isinstance(error, StorageDenied)
        log.log(
            logging.ERROR if alarm else logging.INFO,
            "task.given_back",
            how=verdict.how,
            error=repr(error),
            exc_info=error if defect else None,
        )
        reports: Sequence[AttemptReport] = ()
        if isinstance(error, MediaError):
            reports = error.reports
        if not reports and verdict.error is not None and verdict.how != "wait":
            reports = [
                AttemptReport(
                    attempt=claim.attempt,
                    rung=claim.kind,
                    error=verdict.error,
                    at=round(time.time() * 1000),
                )
            ]
        return self.settle(
            lambda: self._store.release(
                claim,
                verdict.how,
                error=verdict.error,
                delay_seconds=verdict.delay_seconds,
                reports=list(reports),
            )
        )

    def _set_progress(self, share: float) -> None:
        self._progress = max(self._progress, min(1.0, share))

    def _beat(self) -> None:
        sent_at, sent = time.monotonic(), 0.0
        tick = min(_TICK_SECONDS, self._beat_seconds)
        while not self._ended.wait(tick):
            moved = self._progress - sent >= _VISIBLE_STEP
            if not moved and time.monotonic() - sent_at < self._beat_seconds:
                continue
            progress = self._progress
            try:
                answer = self._store.beat(self.claim, progress * 100)
            except StoreUnavailable as error:
                # The work goes on: only the fence decides whether it still counts.
                log.warning("heartbeat.missed", error=error.detail)
                continue
            sent_at, sent = time.monotonic(), progress
            if answer != "ok":
                self._stop_reason = answer
                return


class ScratchDir:
    """An attempt's folder, held by a lock so that a dead one's can be told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = (path / ".lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    @classmethod
    def make(cls, scratch: Path) -> ScratchDir:
        """Make a new folder under ``scratch``."""
        path = scratch.resolve() / "attempts" / uuid.uuid4().hex
        path.mkdir(parents=True)
        return cls(path)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=False)
        self._lock.close()


def clear_dead_scratch_dirs(scratch: Path) -> int:
    """Remove the folders whose process died; give how many."""
    removed = 0
    for path in (scratch / "attempts").glob("*"):
        try:
            with (path / ".lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
                removed += 1
        except BlockingIOError:
            continue  # its process lives
        except FileNotFoundError:
            # Not locked yet, or gone already: another process is at it.
            if path.exists() and time.time() - path.stat().st_mtime > _NEWBORN_SECONDS:
                shutil.rmtree(path)
                removed += 1
    return removed
