"""The operations on jobs: submit, read, cancel, retry, delete.

Every way in (HTTP, S3 events, the command line) ends here. The order is always the
same: the record first, the message second; a verb has happened when it returns.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog

from common.access.quota import DailyQuota, quota_used_up
from common.errors import (
    Invalid,
    NotFound,
    StoreUnavailable,
    TooManyRequests,
    Unavailable,
)
from common.jobs.manifests import Manifests
from common.jobs.queue import Dispatcher
from common.jobs.store import (
    Caps,
    Full,
    Idempotency,
    JobStore,
    JobVersion,
    NewJob,
    NewOutput,
)
from common.model import (
    NO_OPTIONS,
    JobOptions,
    JobRecord,
    JobStatus,
    OutputRecord,
    Queue,
    Source,
)
from common.notify.subscriptions import Subscription
from common.outputs.naming import name_outputs
from common.outputs.specs import OutputSpec, natural_pair, recorded
from common.settings.load import Settings
from common.storage.port import BlobStore
from common.telemetry import origin

log = structlog.get_logger(__name__)

RETRY_AFTER_FULL = 30
_NO_CAPS = Caps()
Found = TypeVar("Found", JobRecord, JobVersion)


def new_id() -> str:
    """Return a new id: 32 random hex digits."""
    return secrets.token_hex(16)


def source_key(job_id: str) -> str:
    """Return the key of the blob that holds a job's uploaded source."""
    return f"in/{job_id}/source"


@dataclass(frozen=True)
class Submission:
    """A job to be made. Without ``outputs`` it makes a thumbnail and a GIF.

    ``quota`` is what it counts against, None nothing.
    """

    owner: str
    source: Source
    outputs: Sequence[OutputSpec] = ()
    metadata: Any = None
    options: JobOptions = NO_OPTIONS
    subscriptions: list[Subscription] = field(default_factory=list)
    job_id: str = field(default_factory=new_id)
    idempotency: Idempotency | None = None
    jobs_at_once: int | None = None
    quota: DailyQuota | None = None


@dataclass(frozen=True)
class Submitted:
    """The job; ``created`` is false where an Idempotency-Key found an earlier one."""

    job: JobRecord
    created: bool


class JobService:
    """The operations on jobs, over one job store, one blob store and one dispatcher."""

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        blobs: BlobStore,
        dispatcher: Dispatcher,
        manifests: Manifests,
    ) -> None:
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._dispatcher = dispatcher
        self._manifests = manifests

    def submit(self, requested: Submission) -> Submitted:
        """Put a job on record and send the message for its first task.

        Raises Invalid (names, number of outputs, bucket), IdempotencyMismatch,
        TooManyRequests, Unavailable (full, no store, or no storage for the manifest
        where ``store.durability`` asks for one): then there is no job.
        """
        if requested.source.kind == "s3":
            check_bucket(self._settings, requested.source.bucket, "/source/s3/bucket")
        requested = replace(requested, options=origin.signed(requested.options))
        outputs = new_outputs(requested.outputs, self._settings.limits.outputs_per_job)
        caps = Caps(
            requested.jobs_at_once, self._settings.limits.queued_jobs, requested.quota
        )
        kept = self._settings.store.durability == "storage"
        if kept:
            # Crash window: a manifest without a job may stay, of a POST that got no
            # answer. A refusal below lists it to be deleted.
            record = _new_record(requested, outputs, int(time.time() * 1000))
            self._manifests.put(record, requested.subscriptions)
        accepted = self._store.accept(
            NewJob(
                id=requested.job_id,
                owner=requested.owner,
                source=requested.source,
                outputs=outputs,
                options=requested.options,
                metadata=requested.metadata,
                subscriptions=requested.subscriptions,
            ),
            requested.idempotency,
            caps,
            kept=kept,
        )
        if isinstance(accepted, Full):
            raise self._full(accepted, caps)
        self._dispatcher.enqueue(accepted.messages)
        if accepted.created:
            names = [one.name for one in outputs]
            log.info("job.accepted", job=accepted.job_id, outputs=names)
        if accepted.at is not None:
            return Submitted(_new_record(requested, outputs, accepted.at), created=True)
        job = self._store.get(accepted.job_id)
        if job is None:
            raise NotFound(f"job {accepted.job_id} was deleted while it was accepted")
        return Submitted(job, accepted.created)

    def recall(self, owner: str, known: Idempotency | None) -> Submitted | None:
        """Return the job that an earlier request with that Idempotency-Key made.

        None is no such request, or no key. Raises IdempotencyMismatch.
        """
        job_id = None if known is None else self._store.recall(owner, known)
        job = None if job_id is None else self._store.get(job_id)
        return None if job is None else Submitted(job, created=False)

    def get(self, job_id: str, owner: str | None) -> JobRecord:
        """Read a job; NotFound when there is none or it is another owner's."""
        return _visible(self._store.get(job_id), job_id, owner)

    def version(self, job_id: str, owner: str | None) -> JobVersion:
        """Read a job's version and status alone; raises NotFound as :meth:`get`."""
        return _visible(self._store.version(job_id), job_id, owner)

    def list(
        self,
        owner: str | None,
        *,
        status: JobStatus | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[JobRecord], str | None]:
        """Read jobs, newest first, and the cursor of the next page if there is one."""
        return self._store.list(owner, status=status, limit=limit, cursor=cursor)

    def cancel(self, job_id: str, owner: str | None) -> JobRecord:
        """End what has not ended; Conflict when all of it has."""
        self.get(job_id, owner)
        self._dispatcher.enqueue(self._store.cancel(job_id).messages)
        return self.get(job_id, owner)

    def retry(
        self, job_id: str, owner: str | None, jobs_at_once: int | None = None
    ) -> JobRecord:
        """Run the failed and cancelled outputs again; Conflict when there are none.

        Raises TooManyRequests and Unavailable as :meth:`submit` does.
        """
        self.get(job_id, owner)
        caps = Caps(jobs_at_once, self._settings.limits.queued_jobs)
        again = self._store.retry(job_id, caps)
        if isinstance(again, Full):
            raise self._full(again, caps)
        self._dispatcher.enqueue(again.messages)
        return self.get(job_id, owner)

    def _full(self, full: Full, caps: Caps) -> Exception:
        """Return what to raise for a job that is one too many now."""
        if full.scope == "memory":
            return StoreUnavailable(self._store.crammed(), hint="try again later")
        if full.scope == "wait":
            return Unavailable(
                "the workers do not keep up: a task of yours has waited for more than "
                f"{self._settings.limits.queue_hours:g} hours "
                "(FRAMEMILL_LIMITS_QUEUE_HOURS)",
                hint="try again later, or cancel jobs that you no longer need",
            )
        return _over_a_cap(full, caps)

    def delete(self, job_id: str, owner: str | None) -> None:
        """Cancel the job and remove its record and its results.

        Crash window: the record goes first; the sweep removes what a crash, or an
        attempt that still runs, leaves. It also removes the upload, once no other
        job has it as its source.
        """
        self.get(job_id, owner)
        self._dispatcher.enqueue(self._store.delete(job_id).messages)
        self._blobs.delete_prefix(f"out/{job_id}/")


def check_bucket(settings: Settings, bucket: str | None, pointer: str) -> None:
    """Raise Invalid at ``pointer`` unless jobs may read that bucket."""
    allowed = settings.source.buckets or [settings.blobs.bucket]
    if bucket not in allowed:
        raise Invalid.one(
            pointer,
            f"jobs may not read the bucket {bucket!r}",
            "use a bucket that the operator lists in FRAMEMILL_SOURCE_BUCKETS",
        )


def new_outputs(requested: Sequence[OutputSpec], most: int) -> list[NewOutput]:
    """Return the outputs of a job; raises Invalid as :func:`named_specs` does."""
    return [
        NewOutput(name, spec.kind, recorded(spec), queue_of(spec.kind))
        for name, spec in named_specs(requested, most)
    ]


def named_specs(
    requested: Sequence[OutputSpec], most: int, base: str = ""
) -> list[tuple[str, OutputSpec]]:
    """Name the outputs of a job; none asked for is the natural pair.

    Raises Invalid, with pointers below ``base``, for more than ``most`` outputs and for
    a name that two of them have.
    """
    specs = list(requested) or natural_pair()
    if len(specs) > most:
        raise Invalid.one(
            f"{base}/outputs",
            f"a job cannot have {len(specs)} outputs",
            f"ask for at most {most} (FRAMEMILL_LIMITS_OUTPUTS_PER_JOB)",
        )
    return list(zip(name_outputs(specs, base), specs, strict=True))


def _visible(found: Found | None, job_id: str, owner: str | None) -> Found:
    if found is None or (owner is not None and found.owner != owner):
        raise NotFound(f"there is no job {job_id!r}")
    return found


def _new_record(requested: Submission, outputs: list[NewOutput], at: int) -> JobRecord:
    # What accept has just written: reading it back would double the cost of a POST.
    return JobRecord(
        id=requested.job_id,
        owner=requested.owner,
        status="accepted",
        version=1,
        created_at=at,
        updated_at=at,
        source=requested.source,
        options=requested.options,
        outputs=[
            OutputRecord(name=one.name, kind=one.kind, spec=one.spec, status="queued")
            for one in outputs
        ],
        metadata=requested.metadata,
    )


def queue_of(kind: str) -> Queue:
    """Stills go on the fast queue, everything that moves or tiles on the slow one."""
    return "fast" if kind == "thumbnail" else "slow"


def _over_a_cap(full: Full, caps: Caps) -> Exception:
    if full.scope == "day" and caps.quota is not None:
        return quota_used_up(caps.quota, full.wait)
    if full.scope == "owner":
        refusal = TooManyRequests(
            f"this API key may have at most {caps.owner} unfinished jobs",
            retry_after=RETRY_AFTER_FULL,
            hint="wait for some to end, or cancel them",
        )
        refusal.quota = ("jobs-at-once", caps.owner or 0)
        return refusal
    return Unavailable(
        "the service has reached its limit of unfinished jobs "
        "(FRAMEMILL_LIMITS_QUEUED_JOBS)",
        hint="try again later",
    )
