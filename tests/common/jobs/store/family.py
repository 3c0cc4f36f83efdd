"""Short ways through a batch's life, over a store_context."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from common.jobs.store import Accepted, Caps, Claim, NewBatch
from common.model import BatchRecord, Source
from common.notify.subscriptions import Subscription
from tests.common.jobs.store.context import StoreContext

_NUMBERS = itertools.count(1)
NO_CAPS = Caps()
TOLD = {"id": "s1", "type": "webhook", "events": ["batch.*"]}


def uploaded(key: str) -> Source:
    return Source(kind="upload", key=key)


def accept_batch(store_context: StoreContext, *keys: str, **fields: Any) -> str:
    """Put a batch of uploads on record."""
    given: dict[str, Any] = {
        "id": f"b{next(_NUMBERS):031x}",
        "owner": "",
        "sources": [uploaded(key) for key in keys],
        "prefix": None,
        "template": {},
    }
    told = fields.pop("subscriptions", [])
    given["subscriptions"] = [Subscription.model_validate(one) for one in told]
    idempotency = fields.pop("idempotency", None)
    accepted = store_context.store.accept_batch(
        NewBatch(**(given | fields)), idempotency
    )
    assert [message.task for message in accepted.messages] == [
        f"{accepted.job_id}:batch"
    ]
    return accepted.job_id


def batch(store_context: StoreContext, batch_id: str) -> BatchRecord:
    found = store_context.store.batch(batch_id)
    assert found is not None
    return found


def counts(store_context: StoreContext, batch_id: str) -> dict[str, int]:
    return {name: n for name, n in batch(store_context, batch_id).counts.items() if n}


def add(
    store_context: StoreContext, claim: Claim, cursor: str = "0", caps: Caps = NO_CAPS
) -> Any:
    return store_context.store.add_child(claim, store_context.new_job(), cursor, caps)


def child(store_context: StoreContext, claim: Claim, cursor: str = "0") -> str:
    added = add(store_context, claim, cursor)
    assert isinstance(added, Accepted)
    return added.job_id


def finish(store_context: StoreContext, job_id: str) -> None:
    store_context.open(job_id)
    store_context.make(f"{job_id}:o:poster")


def fail(store_context: StoreContext, job_id: str) -> None:
    store_context.ruin(f"{job_id}:prepare")


def expanded(
    store_context: StoreContext, *ends: Callable[[StoreContext, str], Any]
) -> tuple[str, list[str]]:
    """Return a batch whose children have all been made, and ended like that."""
    batch_id = accept_batch(
        store_context, *(f"in/{n}/source" for n in range(len(ends)))
    )
    claim = store_context.claim(f"{batch_id}:batch")
    jobs = [child(store_context, claim, str(n)) for n in range(len(ends))]
    assert store_context.store.end_stage(claim, "expand") is not None
    for end, job_id in zip(ends, jobs, strict=True):
        end(store_context, job_id)
    return batch_id, jobs


def cancel(store_context: StoreContext, job_id: str) -> None:
    store_context.store.cancel(job_id)


def leave(_lab: StoreContext, _job_id: str) -> None:
    """Let the job be."""
