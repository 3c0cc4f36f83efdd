"""Any order of events leaves batches true to their children, and each can be ended."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Values
from hypothesis.stateful import (
    consumes,
    invariant,
    multiple,
    rule,
)

from common.errors import Conflict, NotFound
from common.jobs.store import Accepted, CalledOff, Caps, Claim, NewBatch
from common.model import JOB_ENDED, BatchRecord, Source
from tests.common.jobs.store.test_jobs_machine import (
    EXAMPLES,
    Life,
    on_server,
    run_machine,
)

_NUMBERS = itertools.count(1)
SOURCES = 3


class Family(Life):
    """Jobs of their own, and batches whose task comes and goes like any other."""

    batches: Values[str] = Values("batches")
    jobs: Values[str] = Values("jobs")
    claims: Values[Claim] = Values("claims")

    def __init__(self) -> None:
        super().__init__()
        self.gathered: list[str] = []
        self.children: dict[str, list[str]] = {}

    @rule(target=batches)
    def accept_batch(self) -> str:
        batch_id = f"b{next(_NUMBERS):031x}"
        sources = [Source(kind="upload", key=f"in/{n}") for n in range(SOURCES)]
        self.context.store.accept_batch(NewBatch(batch_id, "", sources, None, {}))
        self.gathered.append(batch_id)
        self.children[batch_id] = []
        return batch_id

    @rule(target=claims, batch_id=batches)
    def claim_batch(self, batch_id: str) -> Any:
        return self.claim(batch_id, "batch")

    @rule(target=jobs, claim=claims, room=st.sampled_from([None, None, 1]))
    def add(self, claim: Claim, room: int | None) -> Any:
        batch = self.context.store.batch(claim.job_id, being_deleted=True)
        if claim.kind != "batch" or batch is None or batch.made == SOURCES:
            return multiple()
        job = self.context.new_job("a")
        held = self.context.store.beat(claim) == "ok"
        added = self.context.store.add_child(
            claim, job, str(batch.made), Caps(owner=room)
        )
        if not isinstance(added, Accepted):
            return multiple()
        assert held
        assert batch.want == "expand"
        self.children[claim.job_id].append(job.id)
        self.known.append(job.id)
        return job.id

    @rule(claim=consumes(claims), parts=st.sampled_from([0, 2]))
    def end_well(self, claim: Claim, parts: int) -> None:
        if claim.kind == "batch":
            self.do_what_is_wanted(claim)
        else:
            super().end_well(claim, parts)

    @rule(claim=consumes(claims))
    def defer(self, claim: Claim) -> None:
        self.context.store.release(claim, "defer", delay_seconds=60)

    @rule(batch_id=batches, verb=st.sampled_from(["cancel_batch", "delete_batch"]))
    def call_off(self, batch_id: str, verb: str) -> None:
        before = self.context.store.batch(batch_id)
        try:
            getattr(self.context.store, verb)(batch_id)
        except NotFound:
            assert before is None
        except Conflict:
            assert before is not None
            assert before.status in JOB_ENDED

    def do_what_is_wanted(self, claim: Claim) -> None:
        batch = self.context.store.batch(claim.job_id, being_deleted=True)
        while batch is not None and batch.want == "expand" and batch.made < SOURCES:
            job = self.context.new_job("a")
            added = self.context.store.add_child(claim, job, str(batch.made), Caps())
            if isinstance(added, CalledOff):
                break
            self.children[batch.id].append(job.id)
            self.known.append(job.id)
            batch = self.context.store.batch(claim.job_id, being_deleted=True)
        if batch is None:
            return
        if batch.want != "expand":
            for job_id in self.children[batch.id]:
                with suppress(Conflict, NotFound):
                    self.end_child(job_id, batch)
        self.context.store.end_stage(claim, batch.want)

    def end_child(self, job_id: str, batch: BatchRecord) -> None:
        if batch.want == "cancel":
            self.context.store.cancel(job_id)
        elif self.context.store.get(job_id) is not None:
            self.context.store.delete(job_id)
            self.known.remove(job_id)

    @invariant()
    def a_batch_counts_its_children(self) -> None:
        for batch_id in self.gathered:
            batch = self.context.store.batch(batch_id)
            if batch is None:
                continue
            records = [self.context.store.get(one) for one in self.children[batch_id]]
            found = Counter(one.status if one else "deleted" for one in records)
            assert {name: n for name, n in batch.counts.items() if n} == dict(found)
            assert batch.made == len(records) == int(batch.cursor or -1) + 1
            listed, _ = self.context.store.children(batch_id)
            assert sorted(listed) == sorted(one.id for one in records if one)

    @invariant()
    def a_batch_ends_with_its_last_child(self) -> None:
        for batch_id in self.gathered:
            batch = self.context.store.batch(batch_id)
            if batch is None:
                continue
            over = batch.closed and batch.ended == batch.made
            key = self.context.key(f"batch:{batch_id}")
            assert (batch.status in JOB_ENDED) == over
            assert (self.context.client.ttl(key) >= 0) == over

    def teardown(self) -> None:
        super().teardown()
        for batch_id in self.gathered:
            # One that is being deleted is hidden; if its task fails, redrive goes on.
            batch = self.context.store.batch(batch_id)
            assert batch is None or batch.status in JOB_ENDED


@pytest.fixture(params=EXAMPLES)
def family(request: pytest.FixtureRequest, valkey_url: str) -> Iterator[type[Life]]:
    with on_server(Family, request.param, "f", valkey_url) as machine:
        yield machine


def test_any_order_of_events_keeps_batches_whole(family: type[Life]) -> None:
    run_machine(family)
