"""Batches: cancelled, deleted, walked over and listed."""

from __future__ import annotations

import pytest

from common.access.keys import KeyRecord, Keys
from common.errors import Conflict, NotFound
from common.jobs.store import Accepted, CalledOff
from tests.common.jobs.store.family import (
    NO_CAPS,
    TOLD,
    add,
    batch,
    cancel,
    child,
    expanded,
    finish,
    gather,
    leave,
)
from tests.common.jobs.store.lab import Lab


def test_a_cancelled_batch_makes_no_more_children(lab: Lab) -> None:
    batch_id = gather(lab, "in/a", "in/b")
    claim = lab.claim(f"{batch_id}:batch")
    job_id = child(lab, claim)
    lab.store.cancel_batch(batch_id)
    assert add(lab, claim, "1") == CalledOff("called")
    assert lab.store.end_stage(claim, "expand") is None
    cancel(lab, job_id)
    assert lab.store.end_stage(claim, "cancel") is not None
    assert batch(lab, batch_id).status == "cancelled"


def test_a_batch_makes_children_until_its_key_is_revoked(lab: Lab) -> None:
    keys = Keys(lab.client, lab.prefix)
    keys.create(KeyRecord(id="k1", name="test", owner="anna"))
    claim = lab.claim(f"{gather(lab, 'in/a', 'in/b')}:batch")
    made = lab.store.add_child(claim, lab.new_job(), "0", NO_CAPS, "k1")
    assert isinstance(made, Accepted)
    keys.revoke("k1")
    refused = lab.store.add_child(claim, lab.new_job(), "1", NO_CAPS, "k1")
    assert refused == CalledOff("revoked")


def test_a_batch_that_is_cancelled_before_its_first_child_has_ended(lab: Lab) -> None:
    batch_id = gather(lab, "in/a")
    lab.store.cancel_batch(batch_id)
    assert batch(lab, batch_id).status == "cancelled"
    assert not lab.client.exists(lab.key("users:in/a"))
    assert lab.store.chores()[0].key == "in/a"


def test_the_piece_of_an_expanded_batch_works_again_to_cancel_it(lab: Lab) -> None:
    batch_id, _ = expanded(lab, leave)
    (bell,) = lab.store.cancel_batch(batch_id).bells
    assert bell.piece == f"{batch_id}:batch"
    assert lab.store.end_stage(lab.claim(bell.piece), "cancel") is not None


def test_an_ended_batch_is_not_cancelled(lab: Lab) -> None:
    batch_id, _ = expanded(lab, finish)
    with pytest.raises(Conflict):
        lab.store.cancel_batch(batch_id)


def test_a_deleted_batch_is_gone_at_once_and_wholly_at_the_end(lab: Lab) -> None:
    batch_id, jobs = expanded(lab, finish, leave)
    lab.store.delete_batch(batch_id)
    assert lab.store.batch(batch_id) is None
    assert lab.store.batches("") == ([], None)
    claim = lab.claim(f"{batch_id}:batch")
    for job_id in jobs:
        lab.store.delete(job_id)
    lab.store.end_stage(claim, "delete")
    assert not [name for name in lab.snapshot() if batch_id in name]


def test_what_is_deleted_twice_is_not_found(lab: Lab) -> None:
    batch_id, _ = expanded(lab)
    lab.store.delete_batch(batch_id)
    with pytest.raises(NotFound):
        lab.store.delete_batch(batch_id)


def test_children_are_walked_in_pages_oldest_first(lab: Lab) -> None:
    batch_id, jobs = expanded(lab, leave, finish, leave)
    first, after = lab.store.children(batch_id, limit=2)
    rest, end = lab.store.children(batch_id, after=after or "", limit=2)
    assert sorted(first + rest) == sorted(jobs)
    assert end is None
    open_ones, _ = lab.store.children(batch_id, "accepted")
    assert sorted(open_ones) == sorted([jobs[0], jobs[2]])


def test_the_jobs_of_a_batch_are_listed_alone(lab: Lab) -> None:
    batch_id, jobs = expanded(lab, finish, leave)
    lab.accept()
    found, _ = lab.store.list(batch=batch_id)
    done, _ = lab.store.list(batch=batch_id, status="completed")
    assert {job.id for job in found} == set(jobs)
    assert [job.id for job in done] == [jobs[0]]


def test_batches_are_listed_newest_first_to_their_owner(lab: Lab) -> None:
    mine = [gather(lab, "in/a", owner="me") for _ in range(3)]
    gather(lab, "in/a", owner="you")
    page, cursor = lab.store.batches("me", limit=2)
    rest, end = lab.store.batches("me", limit=2, cursor=cursor)
    assert {one.id for one in page + rest} == set(mine)
    assert end is None


def test_a_batch_that_is_being_deleted_tells_of_no_end(lab: Lab) -> None:
    ends = ["batch.completed", "batch.partial", "batch.cancelled"]
    batch_id = gather(lab, "in/a", subscriptions=[TOLD | {"events": ends}])
    claim = lab.claim(f"{batch_id}:batch")
    job_id = child(lab, claim)
    lab.store.delete_batch(batch_id)
    lab.store.delete(job_id)
    assert lab.store.notices("") == ([], None)
