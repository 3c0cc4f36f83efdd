"""Run one task of the job store: claim it, keep the lease, settle it once.

Every kind of task runs through :func:`run`. The caller supplies the work; this
module does what is the same for all: the claim, the heartbeat, the scratch folder,
the retry after an error and the messages for what comes next.

However an attempt ends, it ends in exactly one call on the job store. While the store
is away that call is repeated for a minute. After that the lease runs out and the
reaper queues the task for another worker. The store refuses a late worker by its fence.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import structlog

from common.errors import (
    InternalError,
    Interrupted,
    MediaError,
    SecretUnreadable,
    StorageDenied,
    StoreUnavailable,
)
from common.jobs.store import Claim, Outcome, Refusal
from common.model import AttemptReport, ErrorInfo, Source, SourceReading
from common.runtime import Runtime
from common.telemetry import metrics, traces
from common.telemetry.origin import working_for
from worker.egress import EgressClient
from worker.media.engine import Ended, Engine, Watch
from worker.media.ffmpeg.process import ProcessResult
from worker.media.sandbox import reads
from worker.media.source_file import SourceFile
from worker.retry import RetryPolicy, plan_release
from worker.scratch import ScratchDir
from worker.source.cache import OpenSource, SourceCache

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 60.0
_TICK_SECONDS = 1.0
_VISIBLE_STEP = 0.02


@dataclass(frozen=True)
class WorkerContext:
    """What the tasks of a worker process share; ``name`` identifies the process."""

    runtime: Runtime
    engine: Engine
    sources: SourceCache
    egress: EgressClient
    name: str

    @classmethod
    def build(cls, runtime: Runtime, name: str) -> Self:
        """Build the context from the settings of ``runtime``."""
        settings = runtime.settings
        egress = EgressClient(settings.egress)
        return cls(
            runtime=runtime,
            engine=Engine(settings),
            sources=SourceCache(settings, runtime.blobs, egress, _intercepts),
            egress=egress,
            name=name,
        )


def _intercepts() -> bool:
    """Return whether a program's reads can be made to wait on this host."""
    return reads.refusal() is None


Work = Callable[["Attempt"], Outcome]
Answer = TypeVar("Answer")


def run(
    context: WorkerContext,
    task: str,
    task_id: str,
    work: Work,
    queue: str | None = None,
) -> None:
    """Claim a task, do the work, settle the claim and enqueue what comes next.

    ``task`` is the id in the job store, ``task_id`` that of the Celery message. With
    the ``queue`` of the message the task may be another one: the one whose turn it is
    in that queue. Errors of the work are settled, not raised. Raises only what ends the
    process (SystemExit and the like), after releasing the claim, and StoreUnavailable
    if the claim itself failed; then the reaper enqueues the task again.
    """
    runtime = context.runtime
    # A redelivered message has the same task id: only the random half makes two
    # deliveries two claimants.
    token = f"{task_id}:{uuid.uuid4().hex}"
    claim = runtime.store.claim(task, token, context.name, queue)
    if isinstance(claim, Refusal):
        log.info("task.skipped", task=task, reason=claim.reason)
        return
    runtime.dispatcher.enqueue(claim.messages)
    with _named(claim):
        with Attempt(context, claim) as attempt:
            outcome = attempt.finish(work)
        reading = attempt.reading
        log.info(
            "task.settled",
            applied=outcome.applied,
            seconds=round(attempt.seconds, 3),
            source=reading and reading.model_dump(exclude_none=True),
        )
        runtime.dispatcher.enqueue(outcome.messages)


@contextmanager
def _named(claim: Claim) -> Iterator[None]:
    """Have each line of the log, and a span, say which attempt this is."""
    ids = {
        "job": claim.job_id,
        "output": claim.output,
        "task": claim.task,
        "attempt": claim.attempt,
        "fence": claim.fence,
    }
    facts = {f"framemill.{name}": one for name, one in ids.items() if one is not None}
    facts |= {"messaging.system": "celery", "messaging.destination.name": claim.queue}
    name, given = f"framemill.{metrics.TASKS[claim.kind]}", claim.options.origin
    with (
        traces.root(name, "consumer", given, facts) as origin,
        working_for(origin, **ids),
    ):
        yield


class Attempt:
    """A live claim: a context manager that sends the heartbeat until it is left.

    ``label`` names the attempt in the reports that users see.
    """

    def __init__(self, context: WorkerContext, claim: Claim) -> None:
        self.context = context
        self.claim = claim
        self.label: str = claim.kind
        self._store = context.runtime.store
        self._beat_seconds = context.runtime.settings.lease.beat_seconds
        self._began = time.monotonic()
        self._progress = 0.0
        self._source: OpenSource | None = None
        self._fetched: SourceReading | None = None
        self._stop_reason: str | None = None
        self._end = "lost"
        self._ended = threading.Event()
        # Its lines name the attempt, too.
        beat = partial(copy_context().run, self._beat)
        self._heart = threading.Thread(target=beat, name="heartbeat", daemon=True)

    @property
    def folder(self) -> Path:
        """The attempt's own folder, made at first use and removed with the attempt.

        Raises DiskFull, StorageUnavailable.
        """
        return self._scratch_dir.path

    @property
    def watch(self) -> Watch:
        """The engine's view of the attempt: it reports progress and sees a stop."""
        return Watch(
            self._set_progress, lambda: self._stop_reason is not None, self._run
        )

    @property
    def seconds(self) -> float:
        """The age of the attempt in seconds."""
        return time.monotonic() - self._began

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
        self._count()
        if self._source is not None:
            self._source.close()
        if "_scratch_dir" in self.__dict__:
            self._scratch_dir.remove()

    def finish(self, work: Work) -> Outcome:
        """Do the work and settle the claim, whether it succeeds or raises."""
        try:
            outcome = work(self)
        except BaseException as error:
            outcome = self._release(error)
            if not isinstance(error, Exception):
                raise
            return outcome
        self._end = "done" if outcome.applied else "refused"
        return outcome

    def open_source(self, source: Source) -> SourceFile:
        """Open the pinned source, at the first call; the attempt's end closes it.

        Raises what SourceCache.open raises.
        """
        if self._source is None:
            path, should_stop = self.folder / "source", self.watch.should_stop
            self._source = self.context.sources.open(source, path, should_stop)
        return self._source.file

    def add_reading(self, reading: SourceReading) -> None:
        """Count what was read of the source in another way than by its file."""
        self._fetched = reading.after(self._fetched)

    @property
    def reading(self) -> SourceReading | None:
        """How the source was read so far, and how much; None if it was not."""
        if self._source is None:
            return self._fetched
        return self._source.reading.after(self._fetched)

    def check(self) -> None:
        """Raise Interrupted if the attempt has to stop."""
        if self._stop_reason is not None:
            raise Interrupted(f"the attempt was stopped: {self._stop_reason}")

    def settle(self, transition: Callable[[], Answer]) -> Answer | Outcome:
        """Call the store, and repeat the call through an outage of up to a minute.

        After that return an Outcome that was not applied.
        """
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

    def report(self, error: ErrorInfo | None = None) -> AttemptReport:
        """Write the line that users see of this attempt; it ends now."""
        return AttemptReport(
            attempt=self.claim.attempt,
            rung=self.label,
            error=error,
            seconds=round(self.seconds, 3),
            worker=self.context.name,
            at=round(time.time() * 1000),
        )

    def _release(self, error: BaseException) -> Outcome:
        claim = self.claim
        policy = RetryPolicy.of(claim.kind, self.context.runtime.settings)
        spread = random.random()  # noqa: S311 - jitter, no secret
        release = plan_release(error, claim.attempt, policy, spread)
        if self._stop_reason == "lost":
            log.warning("task.lost")
            return Outcome(applied=False, job_ended=False, messages=[])
        defect = release.error and release.error.code == InternalError.code
        if defect or isinstance(error, StorageDenied | SecretUnreadable):
            level = logging.ERROR
        elif claim.delivery is not None and release.error is not None:
            level = logging.WARNING  # a receiver fails: its operator may want to know
        else:
            level = logging.INFO
        log.log(
            level,
            "task.released",
            how=release.how,
            error=repr(error),
            exc_info=error if defect else None,
        )
        reports: Sequence[AttemptReport] = ()
        if isinstance(error, MediaError):
            reports = error.reports
        if not reports and release.error is not None and release.how != "wait":
            reports = [self.report(release.error)]
        outcome = self.settle(
            lambda: self._store.release(
                claim,
                release.how,
                error=release.error,
                delay_seconds=release.delay_seconds,
                reports=list(reports),
                reading=self.reading,
            )
        )
        self._end = release.how if outcome.applied else "refused"
        if release.error is not None:
            traces.note({}, f"{release.error.code}: {release.error.detail}")
        if self._end == "retry" and release.error is not None:
            kind = metrics.TASKS[claim.kind]
            metrics.RETRIES.add(kind=kind, code=release.error.code)
        return outcome

    def _count(self) -> None:
        """Count the attempt, and what it read of its source."""
        kind, reading = metrics.TASKS[self.claim.kind], self.reading
        metrics.ATTEMPTS.add(kind=kind, end=self._end)
        traces.note({"framemill.end": self._end})
        metrics.ATTEMPT_SECONDS.observe(self.seconds, kind=kind)
        if reading is None:
            return
        if reading.access == "local":
            metrics.SOURCE_OPENS.add(cache="local")
            return
        metrics.SOURCE_OPENS.add(cache="miss" if reading.requests else "hit")
        metrics.SOURCE_READ_BYTES.add(reading.bytes_read, access=reading.access)

    @contextmanager
    def _run(self, program: str) -> Iterator[Ended]:
        """Count a run of FFmpeg for an output, however it ends."""
        kind = (self.claim.spec or {}).get("kind", "unknown")
        results: list[ProcessResult] = []
        began = time.monotonic()
        with traces.span(program):
            try:
                yield results.append
            finally:
                if program == "ffmpeg":
                    _count_run(kind, results, time.monotonic() - began)
                for one in results:
                    traces.note({"process.exit.code": one.returncode})

    @cached_property
    def _scratch_dir(self) -> ScratchDir:
        return ScratchDir(self.context.runtime.settings.worker.scratch)

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


def _count_run(kind: str, results: Sequence[ProcessResult], seconds: float) -> None:
    """Count a run of FFmpeg that took ``seconds``, and what it says if it ended."""
    result = "killed"
    for one in results:
        seconds = one.seconds
        result = "failed" if one.returncode else "ok"
        metrics.FFMPEG_CPU_SECONDS.add(one.cpu_seconds, kind=kind)
    metrics.FFMPEG_SECONDS.add(seconds, kind=kind)
    metrics.FFMPEG_RUNS.add(kind=kind, result=result)
