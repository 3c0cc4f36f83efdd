"""The job store: the one record of every job, batch and delivery, kept in Redis.

A job is divided into tasks: one that probes the source (prepare), one for each output,
more for an output that is made in parts, and one for each delivery to a subscriber. A
message in the queue only names a task. Whether there is anything to do, and who does
it, is decided here, so a message that is lost or comes twice does no harm.

To work on a task, a worker *claims* it. A claim comes with a *lease*: the task is the
worker's for a while, and each heartbeat extends that. When a worker dies, its lease
runs out, and the reaper queues the task for another one. The first worker may still be
alive, only slow or cut off. So each claim also gets a *fence*, a number that grows with
every claim in the job. The store accepts an end only with the token and the fence of
the present claim, and results lie in a folder named by the fence: a worker that comes
too late can neither publish nor overwrite anything.

Each transition (accept, claim, heartbeat, finish, release ...) is one Lua script in
``common/jobs/lua``. Redis runs a script as a whole, so a job, its tasks, its indexes
and its history change together or not at all, by one clock. A client that timed out
cannot know whether its call was executed; it sends the call again, and the script
answers as it did the first time.

docs/explanation/reliability.md has the reasons, common/redis/KEYSPACE.md the keys.
"""

from __future__ import annotations

from functools import cached_property
from typing import Self

from common.access.keys import Keys
from common.jobs.store.batches import Batches, new_fields
from common.jobs.store.deliveries import Deliveries
from common.jobs.store.duplicates import CopiedOutput, Duplicate, Duplicates
from common.jobs.store.idempotency import (
    Idempotency,
    IdempotencyKeys,
    Repeatable,
    Turn,
)
from common.jobs.store.jobs import check_event_id, order_of
from common.jobs.store.maintenance import Upkeep
from common.jobs.store.manifests import ManifestList
from common.jobs.store.records import (
    Accepted,
    Activity,
    Away,
    BatchRestoration,
    Beat,
    CalledOff,
    Caps,
    Claim,
    Cleanup,
    DeadTask,
    DeliveryRecord,
    DueManifest,
    Ending,
    Full,
    JobVersion,
    Minute,
    NewBatch,
    NewJob,
    NewOutput,
    Notification,
    Opening,
    Outcome,
    QueueState,
    Reaped,
    Refusal,
    Restored,
    Stats,
    StoredBatch,
    Took,
)
from common.jobs.store.tasks import Tasks
from common.model import Message
from common.redis.client import open_client
from common.settings.load import Settings


class JobStore(
    Batches,
    Tasks,
    Duplicates,
    Deliveries,
    IdempotencyKeys,
    ManifestList,
    Upkeep,
):
    """All verbs of the job store, over one Redis.

    It may be shared by threads, and by processes that fork before its first use. Every
    method raises StoreUnavailable while the server does not answer.
    """

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Return the store that the settings name; it connects on first use."""
        return cls(settings, open_client(settings))

    @cached_property
    def keys(self) -> Keys:
        """Return the API keys, which lie beside the jobs."""
        return Keys(self._client, self._prefix)


__all__ = [
    "Accepted",
    "Activity",
    "Away",
    "BatchRestoration",
    "Beat",
    "CalledOff",
    "Caps",
    "Claim",
    "Cleanup",
    "CopiedOutput",
    "DeadTask",
    "DeliveryRecord",
    "DueManifest",
    "Duplicate",
    "Ending",
    "Full",
    "Idempotency",
    "JobStore",
    "JobVersion",
    "Message",
    "Minute",
    "NewBatch",
    "NewJob",
    "NewOutput",
    "Notification",
    "Opening",
    "Outcome",
    "QueueState",
    "Reaped",
    "Refusal",
    "Repeatable",
    "Restored",
    "Stats",
    "StoredBatch",
    "Took",
    "Turn",
    "check_event_id",
    "new_fields",
    "order_of",
]
