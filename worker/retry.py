"""What an error means for the task under which it was raised. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from celery.exceptions import SoftTimeLimitExceeded

from common.errors import (
    FramemillError,
    InternalError,
    Interrupted,
    PartAway,
    Timeout,
)
from common.model import ErrorInfo

BACKOFF_SECONDS = (5.0, 30.0, 120.0)
_JITTER = 0.2


@dataclass(frozen=True)
class Decision:
    """How to give a claim back.

    refund: as if it had never been claimed. wait: as well, until a part of the service
    is back. retry: again after ``delay_seconds``.
    fatal: the task has failed. cancelled: it was told to stop.
    """

    how: Literal["refund", "wait", "retry", "fatal", "cancelled"]
    error: ErrorInfo | None = None
    delay_seconds: float = 0.0


def judge(error: BaseException, attempt: int, spread: float = 0.5) -> Decision:
    """Decide; ``spread`` (0 to 1) says where in the jitter's range the delay falls.

    What the source or the spec is to blame for is fatal at once; what the
    surroundings are to blame for is tried again; for a part of the service itself the
    work waits; a worker that is told to go gives its attempt back.
    """
    if isinstance(error, Interrupted):
        return Decision("cancelled")
    if not isinstance(error, Exception):
        return Decision("refund")
    public = _public(error)
    info = ErrorInfo(**public.as_dict())
    if isinstance(public, PartAway):
        return Decision("wait", info)
    if public.retryable or isinstance(public, InternalError):
        base = BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS)) - 1]
        return Decision("retry", info, base * (1 + _JITTER * (2 * spread - 1)))
    return Decision("fatal", info)


def _public(error: Exception) -> FramemillError:
    if isinstance(error, FramemillError):
        return error
    if isinstance(error, SoftTimeLimitExceeded):
        return Timeout("the task took longer than FRAMEMILL_ENGINE_HARD_SECONDS allows")
    return InternalError(
        f"{type(error).__name__} in the worker; its log has the trace",
        hint="retry the job; if it fails again, report it with the job's id",
    )
