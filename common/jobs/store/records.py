"""What the job store takes and what it answers.

A *task* is what one worker claims. Its id is ``JOB:prepare`` (probes the source),
``JOB:o:NAME`` (an output: all of it, or the joining of its parts), ``JOB:o:NAME:K``
(part K, counted from 0), ``JOB:n:N`` (a delivery) or ``BATCH:batch`` (makes, cancels
or deletes a batch's jobs). Times are Unix milliseconds by the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from common.access.quota import DailyQuota
from common.model import (
    NO_OPTIONS,
    Artifact,
    ErrorInfo,
    Event,
    JobOptions,
    JobRecord,
    JobStatus,
    MediaInfo,
    Message,
    PartFile,
    PartSpec,
    Queue,
    Record,
    Source,
    TaskKind,
    TaskState,
)
from common.notify.subscriptions import Subscription

Beat = Literal["ok", "cancel", "lost"]
Ending = Literal["refund", "retry", "fatal", "cancelled", "defer", "wait"]
Restoration = Literal["known", "leaving", "ended", "queued"]
BatchRestoration = Literal["known", "leaving", "restored"]
Reason = Literal["gone", "done", "early", "busy", "waiting", "withdrawn", "exhausted"]


@dataclass(frozen=True)
class NewOutput:
    """One output to be made; ``spec`` is its validated spec as JSON values."""

    name: str
    kind: str
    spec: dict[str, Any]
    queue: Queue


@dataclass(frozen=True)
class NewJob:
    """A job that does not exist yet; ``id`` is 32 hex digits of randomness.

    Each subscription is ``{"id", "type", "events": [...], ...}``; ``events`` holds
    event types, ``"job.*"``-like prefixes or ``"*"``; empty or absent is all.
    """

    id: str
    owner: str
    source: Source
    outputs: list[NewOutput]
    options: JobOptions = NO_OPTIONS
    metadata: Any = None
    subscriptions: list[Subscription] = field(default_factory=list)


@dataclass(frozen=True)
class NewBatch:
    """A batch that does not exist yet: ``sources``, or a ``prefix`` to look under.

    ``prefix`` is ``{"bucket", "prefix", "suffix"}``. ``template`` is what is needed to
    make each job, JSON that the store does not read. ``options`` are those of the
    batch's own task.
    """

    id: str
    owner: str
    sources: list[Source]
    prefix: dict[str, Any] | None
    template: dict[str, Any]
    options: JobOptions = NO_OPTIONS
    metadata: Any = None
    subscriptions: list[Subscription] = field(default_factory=list)


@dataclass(frozen=True)
class Caps:
    """How many jobs there may be; None is no cap.

    ``owner`` and ``total`` are the most that may be unfinished at once, of the owner
    and of the service. The job counts against the ``quota`` in the call that stores it,
    so a repeat costs nothing and no job goes uncounted.
    """

    owner: int | None = None
    total: int | None = None
    quota: DailyQuota | None = None


@dataclass(frozen=True)
class Accepted:
    """The job is stored; ``created`` is false if it already was.

    ``job_id`` is then the earlier job's, and there are no messages to send. ``at`` is
    when a new job was created (Unix ms).
    """

    job_id: str
    created: bool
    messages: list[Message]
    at: int | None = None


@dataclass(frozen=True)
class Full:
    """Nothing was accepted: a cap is reached.

    ``scope`` is whose: the owner's (429), the whole service's (503), or the API key's
    daily quota (429), which begins anew in ``wait`` seconds. Or the store has hardly
    any memory left, or a task of the owner has waited for too long (both 503).
    """

    scope: Literal["owner", "total", "day", "memory", "wait"]
    wait: int = 0


@dataclass(frozen=True)
class DueManifest:
    """A manifest that differs from its record; ``until`` is by when it is stored."""

    kind: str
    id: str
    until: str


class StoredBatch(Record):
    """A batch as its manifest holds it: the ``fields`` of its hash as they are.

    ``sources`` are those that it was given, until no more jobs come of them. ``done``
    says that its task has ended.
    """

    id: str
    fields: dict[str, str]
    sources: list[Source] = Field(default_factory=list)
    done: bool = False


@dataclass(frozen=True)
class Restored:
    """What became of a job that was to be restored.

    known: it is there. leaving: it was deleted, or its retention has ended. ended: it
    is there again with its results. queued: it is done again; send its ``messages``.
    """

    state: Restoration
    messages: list[Message]


@dataclass(frozen=True)
class JobVersion:
    """What tells whether a job has changed; ``version`` as in :class:`JobRecord`."""

    id: str
    owner: str
    status: JobStatus
    version: int


@dataclass(frozen=True)
class Deleted:
    """A job as it was; ``messages`` are for those who waited for it."""

    job: JobRecord
    messages: list[Message]


@dataclass(frozen=True)
class CalledOff:
    """No job of the batch was made.

    lost: the claim no longer counts. called: the batch was cancelled or deleted.
    revoked: the API key that it came with was revoked.
    """

    reason: Literal["lost", "called", "revoked"]


@dataclass(frozen=True)
class Notification:
    """What a delivery brings to whom; ``subscription`` as in :class:`NewJob`."""

    event: Event
    subscription: Subscription


@dataclass(frozen=True)
class Claim:
    """A task that one worker holds until its lease runs out.

    ``fence`` is unique in the job and only grows; it names the folder of results.
    ``attempt`` counts from 1; a refund, a lost lease or a death (counted by ``lost``
    and ``deaths``) gives it back. ``output`` and ``spec`` are set for renders, ``part``
    and ``part_spec`` for one part; ``parts`` holds the files of all parts, in order,
    when the claim is to join them. ``delivery`` is set for claims of kind notice.
    ``artifacts`` are the files that a claim of kind publish copies.
    ``messages`` are for deliveries that the claim caused (job.processing,
    output.running).
    """

    task: str
    job_id: str
    kind: TaskKind
    output: str | None
    part: int | None
    attempt: int
    fence: int
    token: str
    owner: str
    queue: Queue
    source: Source
    media: MediaInfo | None
    spec: dict[str, Any] | None
    part_spec: PartSpec | None
    parts: list[list[PartFile]]
    options: JobOptions
    delivery: Notification | None
    worker: str = ""
    lost: int = 0
    deaths: int = 0
    artifacts: list[Artifact] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


@dataclass(frozen=True)
class Refusal:
    """Why there is no claim; in any case the message is done with.

    gone: there is no such task. done: it has ended. early: its delay is not over. busy:
    another worker has it. waiting: it waits for prepare or for its parts. withdrawn:
    its batch is about to cancel or delete its job. exhausted: this call ended it, since
    no attempt was left.
    """

    reason: Reason


@dataclass(frozen=True)
class Outcome:
    """What a transition did.

    ``applied`` is false if the claim no longer counts (its fence was refused) or was
    cancelled: nothing of it is published. ``job_ended`` is true if this call ended the
    job. ``messages`` are to be sent now.
    """

    applied: bool
    job_ended: bool
    messages: list[Message]


@dataclass(frozen=True)
class Opening:
    """How a prepare task opens one output.

    ``parts`` is empty for an output that is made in one task. ``queue`` None keeps the
    queue that accept chose. ``error`` fails the output at once.
    """

    parts: list[PartSpec] = field(default_factory=list)
    queue: Queue | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True)
class Reaped:
    """What one pass of the reaper did.

    ``expired`` counts leases that ran out; their tasks were queued again or, ``failed``
    of them, given up. ``republished`` messages had led to no claim in time; ``skipped``
    ones are not sent again while others are still queued. ``outage`` means that the
    store or the reaper was away, so all leases were extended instead.
    """

    messages: list[Message]
    expired: int
    failed: int
    republished: int
    skipped: int
    outage: bool


@dataclass(frozen=True)
class Cleanup:
    """Something that the janitor has to clean now.

    "litter": blobs of job ``job_id`` that no artifact names. source: its uploaded
    source. record: the job, past its retention. deleted: all results of a deleted job.
    blob: the blob ``key``. notice: the log entry of a delivery. batch: the batch
    ``job_id``, past its retention.
    """

    member: str
    kind: Literal["litter", "source", "record", "deleted", "blob", "notice", "batch"]
    job_id: str
    key: str


@dataclass(frozen=True)
class DeadTask:
    """A task that was given up: it ran out of attempts, or its workers died.

    ``attempts`` is how often a worker had it, and None where an earlier version of the
    service gave it up. ``gone`` is true once its record has expired: it cannot run
    again.
    """

    task: str
    job_id: str
    owner: str
    output: str | None
    at: int
    error: ErrorInfo
    attempts: int | None
    gone: bool


@dataclass(frozen=True)
class DeliveryRecord:
    """One delivery to one subscriber, as the log shows it."""

    id: str
    job_id: str
    owner: str
    state: TaskState
    event: Event
    subscription: Subscription
    attempts: list[dict[str, Any]]
    result: Any
    error: ErrorInfo | None
    created_at: int
    updated_at: int
    finished_at: int | None
    not_before: int | None


@dataclass(frozen=True)
class Away:
    """A part of the service that is away for the workers of ``host``, since Unix ms."""

    host: str
    since: int
    error: ErrorInfo


@dataclass(frozen=True)
class Took:
    """How long outputs of one kind took from the acceptance of their job.

    ``counts`` has the outputs by the least bound in seconds that they did not exceed,
    "inf" where they exceeded all; ``seconds`` is the sum.
    """

    counts: dict[str, int]
    seconds: float


@dataclass(frozen=True)
class Stats:
    """Counts for metrics; ages are in seconds, None if there is nothing.

    ``counters`` only grow: accepted, completed, partial, failed, cancelled, expired,
    republished, refused, dead, refunded, died, outages, away. So do ``failures``, the
    tasks that failed for good by the code of their error, and ``took``, by the kind of
    output.
    """

    pending: dict[str, int]
    oldest_pending_seconds: dict[str, float]
    leased: int
    dead: int
    jobs: dict[str, int]
    workers: int
    reaper_seconds: float | None
    counters: dict[str, int]
    failures: dict[str, int] = field(default_factory=dict)
    took: dict[str, Took] = field(default_factory=dict)
    away: list[Away] = field(default_factory=list)


@dataclass(frozen=True)
class QueueState:
    """One queue now: how many tasks are ready, delayed (before a retry) and running.

    ``oldest`` is the ready task that has waited longest, since ``since``.
    """

    name: Queue
    ready: int
    delayed: int
    running: int
    oldest: str | None
    since: int | None


@dataclass(frozen=True)
class Minute:
    """What was counted in the minute that begins ``at``: names as in :class:`Stats`.

    ``failures`` are tasks that failed for good, by the code of their error.
    """

    at: int
    counters: dict[str, int]
    failures: dict[str, int]


@dataclass(frozen=True)
class Activity:
    """The queues, and 60 minutes, oldest first; the last one is not over."""

    at: int
    queues: list[QueueState]
    minutes: list[Minute]
