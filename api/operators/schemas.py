"""The shapes of what operators look at."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.jobs.schemas import ErrorView, Link, Timestamp, View
from common.model import Queue


class QueueView(View):
    """One queue, as it is now."""

    name: Queue
    ready: int = Field(description="Tasks that a worker could take.")
    delayed: int = Field(description="Tasks that pause before another attempt.")
    running: int = Field(description="Tasks in the hands of workers.")
    oldest_task: str | None = Field(
        description="The ready task that has waited longest."
    )
    oldest_seconds: float | None = Field(description="How long it has waited.")


class WorkerView(View):
    """A worker that was heard of in the last 30 seconds."""

    name: str = Field(description="HOST:PID of its main process.")
    queues: list[str]
    seen_at: Timestamp
    clock_skew: float | None = Field(
        description="Seconds between its clock and the storage's, where known."
    )


class MinuteView(View):
    """What happened to jobs within a minute."""

    at: Timestamp = Field(description="When the minute began.")
    accepted: int
    completed: int
    partial: int
    failed: int
    cancelled: int


class FailureView(View):
    """How many tasks failed for good with an error."""

    code: str = Field(description="Stable; /docs/errors lists all.")
    tasks: int


class DeadLetterView(View):
    """A task that ran out of attempts, or whose workers died."""

    task: str
    job_id: str = Field(description="The batch's, for the task of a batch.")
    owner: str
    output: str | None
    at: Timestamp
    error: ErrorView
    attempts: int | None = Field(
        description="How often a worker had it; null where an earlier version of the "
        "service gave it up."
    )
    gone: bool = Field(description="Its job has expired; it cannot run again.")
    job: Link | None = Field(
        description="The job; null for one of another owner, a batch, or one that has "
        "expired."
    )


class OperationsLinksView(View):
    """Other places to look at."""

    metrics: Link
    flower: Link | None = Field(description="FRAMEMILL_API_FLOWER_PUBLIC_URL.")


class OperationsView(View):
    """The service as it is, and its last hour."""

    at: Timestamp
    status: Literal["ok", "degraded"]
    reasons: list[str] = Field(description="Why it is degraded, as in /readyz.")
    jobs: dict[str, int] = Field(description="Jobs on record, by status.")
    queues: list[QueueView]
    workers: list[WorkerView]
    reaper_seconds: float | None = Field(description="Since the reaper's last sweep.")
    minutes: list[MinuteView] = Field(
        description="60 minutes, oldest first; the last one is not over."
    )
    failures: list[FailureView] = Field(
        description="What failed for good in these minutes, the most frequent first. "
        "Each task counts once, where it failed: a source that cannot be read counts "
        "once, however many outputs it had. Failed deliveries and batches count, too."
    )
    dead: int = Field(description="How many tasks were given up in all.")
    dead_letters: list[DeadLetterView] = Field(
        description="The latest 100 of them, newest first."
    )
    links: OperationsLinksView


class RedrivenView(View):
    """A dead task that is at work again."""

    task: str
    queued: list[str] = Field(
        description="The tasks that this request put into their queue; none where the "
        "task was at work again already."
    )
