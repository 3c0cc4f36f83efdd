"""Batches in the store: counted children, and a cursor that moves with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.access.keys import Keys
from common.access.quota import DailyQuota
from common.errors import Conflict, IdempotencyMismatch
from common.jobs.store import (
    Accepted,
    CalledOff,
    Caps,
    Full,
    Idempotency,
    NewBatch,
    NewJob,
)
from tests.common.jobs.store.context import BAD, IDLE, StoreContext
from tests.common.jobs.store.family import (
    NO_CAPS,
    TOLD,
    accept_batch,
    add,
    batch,
    cancel,
    child,
    counts,
    expanded,
    fail,
    finish,
    leave,
    uploaded,
)


def test_a_new_batch_is_accepted_and_holds_its_uploads(
    store_context: StoreContext,
) -> None:
    batch_id = accept_batch(store_context, "in/a", "in/b")
    assert batch(store_context, batch_id).status == "accepted"
    assert batch(store_context, batch_id).given == 2
    assert store_context.client.smembers(store_context.key("users:in/a")) == {batch_id}


def test_the_same_idempotency_key_gives_the_same_batch(
    store_context: StoreContext,
) -> None:
    known = Idempotency("k", "print")
    first = accept_batch(store_context, "in/a", idempotency=known)
    again = store_context.store.accept_batch(
        NewBatch("f" * 32, "", [], None, {}), known
    )
    assert (again.job_id, again.created) == (first, False)


def test_one_idempotency_key_is_not_for_a_job_and_a_batch(
    store_context: StoreContext,
) -> None:
    accept_batch(store_context, "in/a", idempotency=Idempotency("k", "a batch"))
    with pytest.raises(IdempotencyMismatch):
        store_context.accept(idempotency=Idempotency("k", "a job"))


def test_sources_are_read_from_where_they_are_asked(
    store_context: StoreContext,
) -> None:
    batch_id = accept_batch(store_context, "in/a", "in/b", "in/c")
    found = store_context.store.batch_sources(batch_id, 1, 5)
    assert [source.key for source in found] == ["in/b", "in/c"]


def test_the_cursor_moves_with_the_child_that_it_passes(
    store_context: StoreContext,
) -> None:
    batch_id = accept_batch(store_context, "in/a", "in/b")
    claim = store_context.claim(f"{batch_id}:batch")
    job_id = child(store_context, claim, "0")
    found = batch(store_context, batch_id)
    assert (found.cursor, found.made, found.status) == ("0", 1, "processing")
    assert store_context.get(job_id).batch == batch_id


def test_who_lost_the_claim_makes_no_child(store_context: StoreContext) -> None:
    batch_id = accept_batch(store_context, "in/a")
    lost = store_context.claim(f"{batch_id}:batch")
    store_context.store.died(lost.task, lost.token)
    store_context.claim(f"{batch_id}:batch")
    assert add(store_context, lost) == CalledOff("lost")
    assert batch(store_context, batch_id).made == 0


def test_a_made_child_renews_the_attempts_of_its_maker(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(lease={"max_deaths": 2})
    batch_id = accept_batch(store_context, "in/a", "in/b", "in/c")
    for number in range(3):
        claim = store_context.claim(f"{batch_id}:batch")
        child(store_context, claim, str(number))
        store_context.store.died(claim.task, claim.token)
    assert batch(store_context, batch_id).status == "processing"
    assert store_context.store.dead() == []


def test_a_task_that_gets_nowhere_fails_the_batch(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(lease={"max_deaths": 2})
    batch_id = accept_batch(store_context, "in/a")
    for _ in range(2):
        claim = store_context.claim(f"{batch_id}:batch")
        store_context.store.died(claim.task, claim.token)
    found = batch(store_context, batch_id)
    assert found.status == "failed"
    assert found.error is not None
    assert found.error.code == "worker_lost"


def test_a_failed_walk_over_a_prefix_is_taken_up_by_redrive(
    store_context: StoreContext,
) -> None:
    batch_id = accept_batch(
        store_context, prefix={"bucket": "b", "prefix": "p", "suffix": ""}
    )
    claim = store_context.claim(f"{batch_id}:batch")
    store_context.store.release(claim, "fatal", error=BAD)
    assert batch(store_context, batch_id).status == "failed"
    store_context.store.redrive(f"{batch_id}:batch")
    assert batch(store_context, batch_id).status == "accepted"
    child(store_context, store_context.claim(f"{batch_id}:batch"))


def test_a_failed_batch_of_named_sources_is_not_redriven(
    store_context: StoreContext,
) -> None:
    batch_id = accept_batch(store_context)
    store_context.ruin(f"{batch_id}:batch")
    with pytest.raises(Conflict, match="no longer kept"):
        store_context.store.redrive(f"{batch_id}:batch")


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ([finish, finish], "completed"),
        ([finish, fail], "partial"),
        ([finish, cancel], "partial"),
        ([fail, fail], "failed"),
        ([fail, cancel], "failed"),
        ([cancel, cancel], "cancelled"),
        ([finish, leave], "processing"),
        ([], "completed"),
    ],
)
def test_a_batch_is_what_its_children_make_it(
    store_context: StoreContext, ends: list[Any], status: str
) -> None:
    batch_id, _ = expanded(store_context, *ends)
    assert batch(store_context, batch_id).status == status


def test_a_batch_goes_on_until_all_children_are_made(
    store_context: StoreContext,
) -> None:
    batch_id = accept_batch(store_context, "in/a", "in/b")
    claim = store_context.claim(f"{batch_id}:batch")
    finish(store_context, child(store_context, claim))
    assert batch(store_context, batch_id).status == "processing"
    store_context.store.end_stage(claim, "expand")
    assert batch(store_context, batch_id).status == "completed"


def test_a_batch_that_left_sources_out_is_not_completed(
    store_context: StoreContext,
) -> None:
    batch_id = accept_batch(store_context, "in/a", "in/b")
    claim = store_context.claim(f"{batch_id}:batch")
    finish(store_context, child(store_context, claim))
    store_context.store.end_stage(claim, "expand", short=True, warnings=["only one"])
    assert batch(store_context, batch_id).status == "partial"
    assert batch(store_context, batch_id).warnings == ["only one"]


def test_children_are_counted_by_status(store_context: StoreContext) -> None:
    batch_id, jobs = expanded(store_context, finish, fail, cancel, leave, leave)
    store_context.claim(f"{jobs[4]}:prepare")
    assert counts(store_context, batch_id) == {
        "completed": 1,
        "failed": 1,
        "cancelled": 1,
        "accepted": 1,
        "processing": 1,
    }


def test_a_deleted_child_is_counted_apart_and_no_longer_waited_for(
    store_context: StoreContext,
) -> None:
    batch_id, jobs = expanded(store_context, finish, leave)
    store_context.store.delete(jobs[1])
    assert counts(store_context, batch_id) == {"completed": 1, "deleted": 1}
    assert batch(store_context, batch_id).status == "completed"


def test_the_end_is_told_once(store_context: StoreContext) -> None:
    batch_id = accept_batch(
        store_context, "in/a", subscriptions=[TOLD | {"events": ["batch.failed"]}]
    )
    claim = store_context.claim(f"{batch_id}:batch")
    job_id = child(store_context, claim)
    store_context.store.end_stage(claim, "expand")
    fail(store_context, job_id)
    told = [
        (one.job_id, one.event.type) for one in store_context.store.deliveries("")[0]
    ]
    assert told == [(batch_id, "batch.failed")]


def test_a_retried_child_opens_its_batch_again(store_context: StoreContext) -> None:
    batch_id, jobs = expanded(store_context, fail)
    store_context.store.retry(jobs[0])
    assert batch(store_context, batch_id).status == "processing"
    assert store_context.client.ttl(store_context.key(f"batch:{batch_id}")) == -1
    finish(store_context, jobs[0])
    assert batch(store_context, batch_id).status == "completed"
    assert counts(store_context, batch_id) == {"completed": 1}
    assert store_context.events(batch_id)[-2:] == ["batch.reopened", "batch.completed"]


def test_an_ended_batch_expires_with_its_lines(store_context: StoreContext) -> None:
    batch_id, _ = expanded(store_context, finish)
    assert store_context.client.ttl(store_context.key(f"batch:{batch_id}")) > 0
    for cleanup in store_context.client.zrange(store_context.key("chores"), 0, -1):
        store_context.has_run_out(str(cleanup))
    for cleanup in store_context.store.cleanups():
        store_context.store.finish_cleanup(cleanup)
    left = [
        name
        for name in store_context.snapshot()
        if name.startswith(("batches", "batch-"))
    ]
    assert left == []


def test_a_full_owner_waits_until_a_child_ends(store_context: StoreContext) -> None:
    batch_id = accept_batch(store_context, "in/a", "in/b")
    claim = store_context.claim(f"{batch_id}:batch")
    job_id = child(store_context, claim)
    assert add(store_context, claim, "1", Caps(owner=1)) == Full("owner")
    store_context.store.release(claim, "defer", delay_seconds=60)
    assert store_context.store.claim(claim.task, "t", "w").reason == "early"  # type: ignore[union-attr]
    fail(store_context, job_id)
    child(store_context, store_context.claim(f"{batch_id}:batch"), "1")


def test_waiting_for_room_costs_no_attempt(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(lease={"max_attempts": 2, "max_refunds": 0})
    batch_id = accept_batch(store_context, "in/a")
    for _ in range(5):
        claim = store_context.claim(f"{batch_id}:batch")
        store_context.store.release(claim, "defer")
    assert store_context.claim(f"{batch_id}:batch").attempt == 1


def test_children_and_other_jobs_share_the_day_of_their_key(
    store_context: StoreContext,
) -> None:
    keys = Keys(store_context.client, store_context.prefix)
    quota = DailyQuota("k1", 2)
    store_context.store.accept(store_context.new_job(), caps=Caps(quota=quota))
    batch_id = accept_batch(store_context, "in/a", "in/b")
    claim = store_context.claim(f"{batch_id}:batch")
    day = Caps(quota=quota)
    assert isinstance(add(store_context, claim, "0", day), Accepted)
    full = add(store_context, claim, "1", day)
    assert full.scope == "day"
    assert 0 < full.wait <= 86_400
    assert keys.today(quota).left == 0


def test_uploads_pass_from_the_batch_to_its_children(
    store_context: StoreContext,
) -> None:
    batch_id = accept_batch(store_context, "in/a", "in/b")
    claim = store_context.claim(f"{batch_id}:batch")
    new = NewJob("e" * 32, "", uploaded("in/a"), store_context.new_job().outputs)
    store_context.store.add_child(claim, new, "0", NO_CAPS)
    store_context.store.end_stage(claim, "expand", short=True)
    assert store_context.client.smembers(store_context.key("users:in/a")) == {"e" * 32}
    assert not store_context.client.exists(store_context.key("users:in/b"))


def test_the_reaper_rings_for_a_batch_whose_message_was_lost(
    store_context: StoreContext,
) -> None:
    batch_id = accept_batch(store_context, "in/a")
    store_context.reaper_was_here()
    store_context.make_due(f"{batch_id}:batch", "pending:fast")
    (message,) = store_context.store.reap(10, IDLE).messages
    assert (message.task, message.kind) == (f"{batch_id}:batch", "batch")


def test_a_lost_lease_gives_the_task_to_another(store_context: StoreContext) -> None:
    batch_id = accept_batch(store_context, "in/a")
    lost = store_context.claim(f"{batch_id}:batch")
    store_context.reaper_was_here()
    store_context.expire(lost.task)
    store_context.store.reap(10, IDLE)
    again = store_context.claim(lost.task)
    assert again.fence > lost.fence
    assert add(store_context, lost) == CalledOff("lost")
