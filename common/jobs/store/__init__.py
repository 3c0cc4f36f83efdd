"""The record of every job, in Redis: who may do what, and what has come of it.

Every transition is one Lua script (``common/jobs/lua``), so it happens wholly or not at
all, by the server's clock, and may be repeated blindly: a client that timed out sends
it again and gets the first answer. A claim holds a lease, kept by beats, and a fence
that only grows: who comes late is refused.
"""

from __future__ import annotations

from typing import Self

from common.jobs.store.batches import Batches
from common.jobs.store.deliveries import Deliveries
from common.jobs.store.duplicates import CopiedOutput, Duplicate, Duplicates
from common.jobs.store.idempotency import (
    Idempotency,
    IdempotencyKeys,
    Repeatable,
    Turn,
)
from common.jobs.store.maintenance import Upkeep
from common.jobs.store.records import (
    Accepted,
    Away,
    Beat,
    CalledOff,
    Caps,
    Claim,
    Cleanup,
    DeadTask,
    DeliveryRecord,
    Ending,
    Full,
    NewBatch,
    NewJob,
    NewOutput,
    Notification,
    Opening,
    Outcome,
    Reaped,
    Refusal,
    Stats,
)
from common.jobs.store.tasks import Tasks
from common.model import Message
from common.redis.client import open_client
from common.settings.load import Settings


class JobStore(Batches, Tasks, Duplicates, Deliveries, IdempotencyKeys, Upkeep):
    """The job store over one Redis; see docs/explanation/reliability.md.

    Safe for threads and for processes forked before its first use. Every method
    raises StoreUnavailable while the server is away.
    """

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Make the store that the settings name; it connects on first use."""
        return cls(settings, open_client(settings))


__all__ = [
    "Accepted",
    "Away",
    "Beat",
    "CalledOff",
    "Caps",
    "Claim",
    "Cleanup",
    "CopiedOutput",
    "DeadTask",
    "DeliveryRecord",
    "Duplicate",
    "Ending",
    "Full",
    "Idempotency",
    "JobStore",
    "Message",
    "NewBatch",
    "NewJob",
    "NewOutput",
    "Notification",
    "Opening",
    "Outcome",
    "Reaped",
    "Refusal",
    "Repeatable",
    "Stats",
    "Turn",
]
