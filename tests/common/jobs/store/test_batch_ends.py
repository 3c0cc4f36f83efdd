"""Batches: cancelled, deleted, walked over and listed."""

from __future__ import annotations

import pytest

from common.access.keys import KeyRecord, Keys
from common.errors import Conflict, NotFound
from common.jobs.store import Accepted, CalledOff, Refusal
from tests.common.jobs.store.context import StoreContext
from tests.common.jobs.store.family import (
    NO_CAPS,
    TOLD,
    accept_batch,
    add,
    batch,
    cancel,
    child,
    expanded,
    finish,
    leave,
)


def test_a_cancelled_batch_makes_no_more_children(store_context: StoreContext) -> None:
    batch_id = accept_batch(store_context, "in/a", "in/b")
    claim = store_context.claim(f"{batch_id}:batch")
    job_id = child(store_context, claim)
    store_context.store.cancel_batch(batch_id)
    assert add(store_context, claim, "1") == CalledOff("called")
    assert store_context.store.end_stage(claim, "expand") is None
    cancel(store_context, job_id)
    assert store_context.store.end_stage(claim, "cancel") is not None
    assert batch(store_context, batch_id).status == "cancelled"


def test_a_batch_makes_children_until_its_key_is_revoked(
    store_context: StoreContext,
) -> None:
    keys = Keys(store_context.client, store_context.prefix)
    keys.create(KeyRecord(id="k1", name="test", owner="anna"))
    claim = store_context.claim(f"{accept_batch(store_context, 'in/a', 'in/b')}:batch")
    made = store_context.store.add_child(
        claim, store_context.new_job(), "0", NO_CAPS, "k1"
    )
    assert isinstance(made, Accepted)
    keys.revoke("k1")
    refused = store_context.store.add_child(
        claim, store_context.new_job(), "1", NO_CAPS, "k1"
    )
    assert refused == CalledOff("revoked")


def test_a_batch_that_is_cancelled_before_its_first_child_has_ended(
    store_context: StoreContext,
) -> None:
    batch_id = accept_batch(store_context, "in/a")
    store_context.store.cancel_batch(batch_id)
    assert batch(store_context, batch_id).status == "cancelled"
    assert not store_context.client.exists(store_context.key("users:in/a"))
    assert store_context.store.cleanups()[0].key == "in/a"


def test_the_task_of_an_expanded_batch_works_again_to_cancel_it(
    store_context: StoreContext,
) -> None:
    batch_id, _ = expanded(store_context, leave)
    (message,) = store_context.store.cancel_batch(batch_id).messages
    assert message.task == f"{batch_id}:batch"
    assert (
        store_context.store.end_stage(store_context.claim(message.task), "cancel")
        is not None
    )


@pytest.mark.parametrize("verb", ["cancel_batch", "delete_batch"])
def test_no_child_is_begun_while_its_batch_is_about_to_end_it(
    store_context: StoreContext, verb: str
) -> None:
    """Their messages stand in the queue before that of the batch."""
    batch_id, (prepared, waiting) = expanded(store_context, StoreContext.open, leave)
    getattr(store_context.store, verb)(batch_id)
    for task in (f"{prepared}:o:poster", f"{waiting}:prepare"):
        refused = store_context.store.claim(task, "t", "host:1")
        assert refused == Refusal("withdrawn")
    claim = store_context.claim(f"{batch_id}:batch")
    refused = store_context.store.claim(f"{waiting}:prepare", "t", "host:1")
    assert refused == Refusal("withdrawn")
    assert store_context.store.release(claim, "fatal").applied
    store_context.claim(f"{waiting}:prepare")


def test_a_job_of_a_cancelled_batch_is_made_when_it_is_retried(
    store_context: StoreContext,
) -> None:
    batch_id, (job_id,) = expanded(store_context, leave)
    store_context.store.cancel_batch(batch_id)
    claim = store_context.claim(f"{batch_id}:batch")
    cancel(store_context, job_id)
    assert store_context.store.end_stage(claim, "cancel") is not None
    store_context.store.retry(job_id)
    store_context.claim(f"{job_id}:prepare")


def test_an_ended_batch_is_not_cancelled(store_context: StoreContext) -> None:
    batch_id, _ = expanded(store_context, finish)
    with pytest.raises(Conflict):
        store_context.store.cancel_batch(batch_id)


def test_a_deleted_batch_is_gone_at_once_and_wholly_at_the_end(
    store_context: StoreContext,
) -> None:
    batch_id, jobs = expanded(store_context, finish, leave)
    store_context.store.delete_batch(batch_id)
    assert store_context.store.batch(batch_id) is None
    assert store_context.store.batches("") == ([], None)
    claim = store_context.claim(f"{batch_id}:batch")
    for job_id in jobs:
        store_context.store.delete(job_id)
    store_context.store.end_stage(claim, "delete")
    assert not [name for name in store_context.snapshot() if batch_id in name]


def test_what_is_deleted_twice_is_not_found(store_context: StoreContext) -> None:
    batch_id, _ = expanded(store_context)
    store_context.store.delete_batch(batch_id)
    with pytest.raises(NotFound):
        store_context.store.delete_batch(batch_id)


def test_children_are_walked_in_pages_oldest_first(store_context: StoreContext) -> None:
    batch_id, jobs = expanded(store_context, leave, finish, leave)
    first, after = store_context.store.children(batch_id, limit=2)
    rest, end = store_context.store.children(batch_id, after=after or "", limit=2)
    assert sorted(first + rest) == sorted(jobs)
    assert end is None
    open_ones, _ = store_context.store.children(batch_id, "accepted")
    assert sorted(open_ones) == sorted([jobs[0], jobs[2]])


def test_the_jobs_of_a_batch_are_listed_alone(store_context: StoreContext) -> None:
    batch_id, jobs = expanded(store_context, finish, leave)
    store_context.accept()
    found, _ = store_context.store.list(batch=batch_id)
    done, _ = store_context.store.list(batch=batch_id, status="completed")
    assert {job.id for job in found} == set(jobs)
    assert [job.id for job in done] == [jobs[0]]


def test_batches_are_listed_newest_first_to_their_owner(
    store_context: StoreContext,
) -> None:
    mine = [accept_batch(store_context, "in/a", owner="me") for _ in range(3)]
    accept_batch(store_context, "in/a", owner="you")
    page, cursor = store_context.store.batches("me", limit=2)
    rest, end = store_context.store.batches("me", limit=2, cursor=cursor)
    assert {one.id for one in page + rest} == set(mine)
    assert end is None


def test_a_batch_that_is_being_deleted_tells_of_no_end(
    store_context: StoreContext,
) -> None:
    ends = ["batch.completed", "batch.partial", "batch.cancelled"]
    batch_id = accept_batch(
        store_context, "in/a", subscriptions=[TOLD | {"events": ends}]
    )
    claim = store_context.claim(f"{batch_id}:batch")
    job_id = child(store_context, claim)
    store_context.store.delete_batch(batch_id)
    store_context.store.delete(job_id)
    assert store_context.store.deliveries("") == ([], None)
