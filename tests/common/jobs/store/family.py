"""Short ways through a batch's life, over a lab."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from common.jobs.store import Accepted, Caps, Claim, NewBatch
from common.model import BatchRecord, Source
from tests.common.jobs.store.lab import Lab

_NUMBERS = itertools.count(1)
NO_CAPS = Caps()
TOLD = {"id": "s1", "type": "webhook", "events": ["batch.*"]}


def uploaded(key: str) -> Source:
    return Source(kind="upload", key=key)


def gather(lab: Lab, *keys: str, **fields: Any) -> str:
    """Put a batch of uploads on record."""
    given: dict[str, Any] = {
        "id": f"b{next(_NUMBERS):031x}",
        "owner": "",
        "sources": [uploaded(key) for key in keys],
        "prefix": None,
        "template": {},
    }
    idempotency = fields.pop("idempotency", None)
    accepted = lab.store.gather(NewBatch(**(given | fields)), idempotency)
    assert [bell.piece for bell in accepted.bells] == [f"{accepted.job_id}:batch"]
    return accepted.job_id


def batch(lab: Lab, batch_id: str) -> BatchRecord:
    found = lab.store.batch(batch_id)
    assert found is not None
    return found


def counts(lab: Lab, batch_id: str) -> dict[str, int]:
    return {name: n for name, n in batch(lab, batch_id).counts.items() if n}


def add(lab: Lab, claim: Claim, cursor: str = "0", caps: Caps = NO_CAPS) -> Any:
    return lab.store.add_child(claim, lab.new_job(), cursor, caps)


def child(lab: Lab, claim: Claim, cursor: str = "0") -> str:
    added = add(lab, claim, cursor)
    assert isinstance(added, Accepted)
    return added.job_id


def finish(lab: Lab, job_id: str) -> None:
    lab.open(job_id)
    lab.make(f"{job_id}:o:poster")


def fail(lab: Lab, job_id: str) -> None:
    lab.ruin(f"{job_id}:prepare")


def expanded(lab: Lab, *ends: Callable[[Lab, str], Any]) -> tuple[str, list[str]]:
    """Give a batch whose children have all been made, and ended like that."""
    batch_id = gather(lab, *(f"in/{n}/source" for n in range(len(ends))))
    claim = lab.claim(f"{batch_id}:batch")
    jobs = [child(lab, claim, str(n)) for n in range(len(ends))]
    assert lab.store.end_stage(claim, "expand") is not None
    for end, job_id in zip(ends, jobs, strict=True):
        end(lab, job_id)
    return batch_id, jobs


def cancel(lab: Lab, job_id: str) -> None:
    lab.store.cancel(job_id)


def leave(_lab: Lab, _job_id: str) -> None:
    """Let the job be."""
