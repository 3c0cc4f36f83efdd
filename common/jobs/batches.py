"""The operations on batches: one request, many sources, a job for each of them.

The request only puts the batch on record. Its task (``worker/tasks/expand_batch.py``)
makes the jobs one by one, as fast as the key's quotas and the service have room for
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog

from common.access.quota import DailyQuota
from common.errors import Invalid, NotFound
from common.jobs.manifests import Manifests
from common.jobs.queue import Dispatcher
from common.jobs.service import check_bucket, new_id, new_outputs
from common.jobs.store import (
    Accepted,
    CalledOff,
    Caps,
    Claim,
    Full,
    Idempotency,
    JobStore,
    NewBatch,
    NewJob,
    NewOutput,
)
from common.model import (
    NO_OPTIONS,
    BatchRecord,
    JobOptions,
    JobRecord,
    JobStatus,
    Source,
)
from common.notify.subscriptions import Subscription
from common.outputs.specs import OutputSpec
from common.settings.load import Settings
from common.telemetry import origin

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Prefix:
    """Objects of an S3 bucket whose keys begin, and end, like that."""

    bucket: str
    prefix: str
    suffix: str = ""


@dataclass(frozen=True)
class BatchSubmission:
    """A batch to be made: of ``sources``, or of all objects under ``prefix``.

    ``subscriptions`` get the events of the batch, ``job_subscriptions`` of each job.
    """

    owner: str
    sources: Sequence[Source] = ()
    prefix: Prefix | None = None
    outputs: Sequence[OutputSpec] = ()
    metadata: Any = None
    options: JobOptions = NO_OPTIONS
    subscriptions: list[Subscription] = field(default_factory=list)
    job_subscriptions: list[Subscription] = field(default_factory=list)
    idempotency: Idempotency | None = None
    jobs_at_once: int | None = None
    key_id: str | None = None
    jobs_per_day: int | None = None
    batch_id: str = field(default_factory=new_id)


@dataclass(frozen=True)
class SubmittedBatch:
    """The batch; ``created`` is false where an Idempotency-Key found an earlier one."""

    batch: BatchRecord
    created: bool


def child_id(batch_id: str, cursor: str) -> str:
    """Return the id of the job of one source; it is the same at every call."""
    return hashlib.sha256(f"{batch_id}\n{cursor}".encode()).hexdigest()[:32]


class Batches:
    """The operations on batches."""

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        dispatcher: Dispatcher,
        manifests: Manifests,
    ) -> None:
        self._settings = settings
        self._store = store
        self._dispatcher = dispatcher
        self._manifests = manifests

    def submit(self, requested: BatchSubmission) -> SubmittedBatch:
        """Put a batch on record and send the message for its task.

        Raises Invalid (names, number of outputs or of sources, bucket),
        IdempotencyMismatch, Unavailable (of the storage, too, where
        ``store.durability`` asks for a manifest): then there is no batch.
        """
        self._check(requested)
        limits = self._settings.limits
        outputs = new_outputs(requested.outputs, limits.outputs_per_job)
        batch = NewBatch(
            id=requested.batch_id,
            owner=requested.owner,
            sources=list(requested.sources),
            prefix=None if requested.prefix is None else asdict(requested.prefix),
            template=_template(requested, outputs),
            options=origin.signed(NO_OPTIONS),
            metadata=requested.metadata,
            subscriptions=requested.subscriptions,
        )
        kept = self._settings.store.durability == "storage"
        if kept:
            self._manifests.put_batch(batch)
        accepted = self._store.accept_batch(batch, requested.idempotency, kept=kept)
        self._dispatcher.enqueue(accepted.messages)
        log.info("batch.accepted", job=accepted.job_id, created=accepted.created)
        return SubmittedBatch(
            self.get(accepted.job_id, requested.owner), created=accepted.created
        )

    def get(self, batch_id: str, owner: str | None) -> BatchRecord:
        """Read a batch; NotFound when there is none or it is another owner's."""
        batch = self._store.batch(batch_id)
        if batch is None or (owner is not None and batch.owner != owner):
            raise NotFound(f"there is no batch {batch_id!r}")
        return batch

    def list(
        self, owner: str | None, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[BatchRecord], str | None]:
        """Read batches, newest first, and the cursor of the next page."""
        return self._store.batches(owner, limit=limit, cursor=cursor)

    def jobs(
        self,
        batch_id: str,
        owner: str | None,
        *,
        status: JobStatus | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[Sequence[JobRecord], str | None]:
        """Read a batch's jobs, newest first, and the cursor of the next page."""
        self.get(batch_id, owner)
        return self._store.list(
            batch=batch_id, status=status, limit=limit, cursor=cursor
        )

    def cancel(self, batch_id: str, owner: str | None) -> BatchRecord:
        """Make no more jobs and end those that have not ended; Conflict when all have.

        The jobs are ended one by one, after this returns.
        """
        self.get(batch_id, owner)
        self._dispatcher.enqueue(self._store.cancel_batch(batch_id).messages)
        return self.get(batch_id, owner)

    def delete(self, batch_id: str, owner: str | None) -> None:
        """Remove the batch at once, and one by one its jobs with their results."""
        self.get(batch_id, owner)
        self._dispatcher.enqueue(self._store.delete_batch(batch_id).messages)

    def make_job(
        self, claim: Claim, batch: BatchRecord, source: Source, cursor: str
    ) -> Accepted | Full | CalledOff:
        """Make the next job of a batch, by whoever has claimed its task."""
        template = batch.template
        most = template["jobs_per_day"]
        added = self._store.add_child(
            claim,
            NewJob(
                id=child_id(batch.id, cursor),
                owner=batch.owner,
                source=source,
                outputs=[NewOutput(**one) for one in template["outputs"]],
                options=JobOptions.model_validate(template["options"]),
                metadata=batch.metadata,
                subscriptions=[
                    Subscription.model_validate(one)
                    for one in template["subscriptions"]
                ],
            ),
            cursor,
            Caps(
                owner=template["jobs_at_once"],
                total=self._settings.limits.queued_jobs,
                quota=None if most is None else DailyQuota(template["key_id"], most),
            ),
            template["key_id"],
        )
        if isinstance(added, Accepted):
            self._dispatcher.enqueue(added.messages)
            log.info("job.accepted", job=added.job_id, batch=batch.id)
        return added

    def _check(self, requested: BatchSubmission) -> None:
        most = self._settings.limits.batch_jobs
        if len(requested.sources) > most:
            raise Invalid.one(
                "/sources",
                f"a batch cannot have {len(requested.sources)} sources",
                f"at most {most} (FRAMEMILL_LIMITS_BATCH_JOBS)",
            )
        for number, source in enumerate(requested.sources):
            if source.kind == "s3":
                where = f"/sources/{number}/s3/bucket"
                check_bucket(self._settings, source.bucket, where)
        if requested.prefix is not None:
            check_bucket(self._settings, requested.prefix.bucket, "/prefix/s3/bucket")


def _template(requested: BatchSubmission, outputs: list[NewOutput]) -> dict[str, Any]:
    counted = requested.key_id is not None
    return {
        "outputs": [asdict(one) for one in outputs],
        "options": origin.signed(requested.options).dump(),
        "subscriptions": [
            one.model_dump(mode="json") for one in requested.job_subscriptions
        ],
        "jobs_at_once": requested.jobs_at_once,
        "key_id": requested.key_id,
        "jobs_per_day": requested.jobs_per_day if counted else None,
    }
