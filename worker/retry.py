"""Decide what an error means for the task that raised it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from celery.exceptions import SoftTimeLimitExceeded

from common.errors import (
    FramemillError,
    InternalError,
    Interrupted,
    PartAway,
    ReceiverError,
    Timeout,
)
from common.model import ErrorInfo, TaskKind
from common.settings.load import Settings

BACKOFF_SECONDS = (5.0, 30.0, 120.0)
_JITTER = 0.2
_MAX_DELAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class RetryPolicy:
    """How a kind of task is retried.

    ``delays`` are the pauses in seconds after the first failed attempt, the second
    and so on; the last one repeats, and none at all means no pause. ``retried`` are
    errors that are retried although they are not marked retryable. ``waits`` is true
    where an outage of the service itself costs the task no attempt.
    """

    delays: Sequence[float] = BACKOFF_SECONDS
    retried: tuple[type[FramemillError], ...] = (InternalError,)
    waits: bool = True

    @classmethod
    def of(cls, kind: TaskKind, settings: Settings) -> RetryPolicy:
        """Return the policy for a kind of task."""
        if kind != "notice":
            return cls()
        # The receiver's time, not ours: one that is too slow may be faster later. And
        # an outage that a delivery meets must not stop the other work of this host.
        return cls(
            settings.webhooks.retry_seconds, (InternalError, Timeout), waits=False
        )

    def delay(self, attempt: int, spread: float, requested: float = 0.0) -> float:
        """Return the pause in seconds after the failed attempt ``attempt`` (from 1).

        The pause varies by a fifth either way, by ``spread`` (0 to 1). ``requested``
        is what the receiver asked for (Retry-After); the longer pause counts, up to a
        day.
        """
        base = self.delays[min(attempt, len(self.delays)) - 1] if self.delays else 0.0
        jittered = base * (1 + _JITTER * (2 * spread - 1))
        return min(max(jittered, requested), _MAX_DELAY_SECONDS)


@dataclass(frozen=True)
class Release:
    """How to release a claim whose work raised an error.

    refund: the attempt does not count. wait: nor does it here, and the task waits for
    the end of an outage. retry: the task runs again after ``delay_seconds``. fatal:
    the task has failed. cancelled: the work stopped as requested.
    """

    how: Literal["refund", "wait", "retry", "fatal", "cancelled"]
    error: ErrorInfo | None = None
    delay_seconds: float = 0.0


def plan_release(
    error: BaseException,
    attempt: int,
    policy: RetryPolicy | None = None,
    spread: float = 0.5,
) -> Release:
    """Return how to release the claim of attempt number ``attempt`` (from 1).

    An error of the source or the spec is fatal at once. An error of the environment
    is retried, after a pause that ``spread`` (0 to 1) places within the jitter's
    range. During an outage of the service itself the task waits. A worker process
    that ends gives the attempt back.
    """
    policy = policy or RetryPolicy()
    if isinstance(error, Interrupted):
        return Release("cancelled")
    if not isinstance(error, Exception):
        return Release("refund")
    public = _public(error)
    info = ErrorInfo(**public.as_dict())
    if policy.waits and isinstance(public, PartAway):
        return Release("wait", info)
    if public.retryable or isinstance(public, policy.retried):
        requested = public.retry_after if isinstance(public, ReceiverError) else 0.0
        return Release("retry", info, policy.delay(attempt, spread, requested))
    return Release("fatal", info)


def _public(error: Exception) -> FramemillError:
    if isinstance(error, FramemillError):
        return error
    if isinstance(error, SoftTimeLimitExceeded):
        return Timeout("the task took longer than FRAMEMILL_ENGINE_HARD_SECONDS allows")
    return InternalError(
        f"{type(error).__name__} in the worker; its log has the trace",
        hint="retry the job; if it fails again, report it with the job's id",
    )
