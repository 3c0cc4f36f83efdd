"""Submit the jobs of a batch, or cancel them, or delete them.

The batch's cursor moves in the same store call that accepts a job. So the next attempt
continues exactly where a killed one stopped: no job is made twice and none is left out.
A cancelled or deleted batch is noticed at the next job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from common.errors import Conflict, KeyRevoked, NotFound
from common.jobs.store import CalledOff, Full, Outcome
from common.model import BatchRecord, JobStatus, Source
from common.storage.names import display_name, is_own
from worker.lease import Attempt

ROOM_SECONDS = 5.0
_PAGE = 100
_OPEN: tuple[JobStatus, ...] = ("accepted", "processing")

Stage = Callable[[Attempt, BatchRecord], Outcome | None]


def expand(attempt: Attempt) -> Outcome:
    """Run the batch's stages until none is left to do.

    Raises SourceError or Unavailable if the bucket cannot be listed, KeyRevoked,
    NotFound if the batch was deleted, Interrupted.
    """
    store = attempt.context.runtime.store
    while True:
        batch = store.batch(attempt.claim.job_id, being_deleted=True)
        if batch is None:
            raise NotFound(f"batch {attempt.claim.job_id} was deleted")
        outcome = _STAGES[batch.want](attempt, batch)
        if outcome is not None:
            return outcome


def _expand(attempt: Attempt, batch: BatchRecord) -> Outcome | None:
    claim, runtime = attempt.claim, attempt.context.runtime
    most = runtime.settings.limits.batch_jobs
    made = batch.made
    for cursor, source in _sources(attempt, batch):
        attempt.check()
        if made >= most:
            return _end_expansion(
                attempt,
                f"only the first {most} objects were taken "
                "(FRAMEMILL_LIMITS_BATCH_JOBS)",
                short=True,
            )
        added = runtime.batches.make_job(claim, batch, source, cursor)
        if isinstance(added, CalledOff):
            return _called_off(added, made)
        if isinstance(added, Full):
            return _wait_for_room(attempt, added)
        made += added.created
        if batch.given:
            attempt.watch.progress(made / batch.given)
    return _end_expansion(attempt, None if made else "no object was found")


def _called_off(off: CalledOff, made: int) -> Outcome | None:
    if off.reason == "revoked":
        jobs = "1 job" if made == 1 else f"{made} jobs"
        raise KeyRevoked(
            f"the API key of this batch was revoked after {jobs}; the remaining "
            "sources got no job",
            hint="submit the remaining sources again with a valid key",
        )
    if off.reason == "called":
        return None
    return Outcome(applied=False, job_ended=False, messages=[])


def _end_expansion(
    attempt: Attempt, warning: str | None, *, short: bool = False
) -> Outcome | None:
    store = attempt.context.runtime.store
    return attempt.settle(
        lambda: store.end_stage(
            attempt.claim,
            "expand",
            short=short,
            warnings=[] if warning is None else [warning],
        )
    )


def _wait_for_room(attempt: Attempt, full: Full) -> Outcome:
    """Release the claim until a job ends, which wakes this task, or the day does."""
    store = attempt.context.runtime.store
    seconds = float(full.wait) if full.scope == "day" else ROOM_SECONDS
    return attempt.settle(
        lambda: store.release(attempt.claim, "defer", delay_seconds=seconds)
    )


def _sources(attempt: Attempt, batch: BatchRecord) -> Iterator[tuple[str, Source]]:
    if batch.prefix is None:
        return _listed(attempt, batch)
    return _found(attempt, batch)


def _listed(attempt: Attempt, batch: BatchRecord) -> Iterator[tuple[str, Source]]:
    store = attempt.context.runtime.store
    number = int(batch.cursor) + 1 if batch.cursor else 0
    while page := store.batch_sources(batch.id, number, _PAGE):
        for source in page:
            yield str(number), source
            number += 1


def _found(attempt: Attempt, batch: BatchRecord) -> Iterator[tuple[str, Source]]:
    """Yield the objects after the cursor, without folders and files of our own."""
    runtime = attempt.context.runtime
    requested = batch.prefix or {}
    bucket, own = requested["bucket"], runtime.settings.blobs.bucket
    for blob in runtime.blobs.list(
        requested["prefix"], bucket=bucket, after=batch.cursor or None
    ):
        attempt.check()
        ours = bucket == own and is_own(blob.key)
        if ours or blob.key.endswith("/") or not blob.key.endswith(requested["suffix"]):
            continue
        name = display_name(blob.key.rpartition("/")[2])
        yield blob.key, Source(kind="s3", bucket=bucket, key=blob.key, name=name)


def _cancel(attempt: Attempt, batch: BatchRecord) -> Outcome | None:
    runtime = attempt.context.runtime
    for status in _OPEN:
        for job_id in _children(attempt, batch, status):
            # The job may have ended or been deleted meanwhile.
            with suppress(Conflict, NotFound):
                runtime.dispatcher.enqueue(runtime.store.cancel(job_id).messages)
    return attempt.settle(lambda: runtime.store.end_stage(attempt.claim, "cancel"))


def _delete(attempt: Attempt, batch: BatchRecord) -> Outcome | None:
    """Delete the jobs; the janitor removes their files."""
    runtime = attempt.context.runtime
    for job_id in _children(attempt, batch, None):
        with suppress(NotFound):
            runtime.dispatcher.enqueue(runtime.store.delete(job_id).messages)
    return attempt.settle(lambda: runtime.store.end_stage(attempt.claim, "delete"))


def _children(
    attempt: Attempt, batch: BatchRecord, status: JobStatus | None
) -> Iterator[str]:
    store = attempt.context.runtime.store
    after: str | None = ""
    while after is not None:
        found, after = store.children(batch.id, status, after=after, limit=_PAGE)
        for job_id in found:
            attempt.check()
            yield job_id


_STAGES: dict[str, Stage] = {"expand": _expand, "cancel": _cancel, "delete": _delete}
