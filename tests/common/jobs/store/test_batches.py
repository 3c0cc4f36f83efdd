"""Batches in the store: counted children, and a cursor that moves with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.access.keys import Keys
from common.errors import IdempotencyMismatch
from common.jobs.store import (
    Accepted,
    CalledOff,
    Caps,
    Full,
    Idempotency,
    NewBatch,
    NewJob,
)
from tests.common.jobs.store.family import (
    NO_CAPS,
    TOLD,
    add,
    batch,
    cancel,
    child,
    counts,
    expanded,
    fail,
    finish,
    gather,
    leave,
    uploaded,
)
from tests.common.jobs.store.lab import BAD, IDLE, Lab


def test_a_new_batch_is_accepted_and_holds_its_uploads(lab: Lab) -> None:
    batch_id = gather(lab, "in/a", "in/b")
    assert batch(lab, batch_id).status == "accepted"
    assert batch(lab, batch_id).given == 2
    assert lab.client.smembers(lab.key("users:in/a")) == {batch_id}


def test_the_same_idempotency_key_gives_the_same_batch(lab: Lab) -> None:
    known = Idempotency("k", "print")
    first = gather(lab, "in/a", idempotency=known)
    again = lab.store.gather(NewBatch("f" * 32, "", [], None, {}), known)
    assert (again.job_id, again.created) == (first, False)


def test_one_idempotency_key_is_not_for_a_job_and_a_batch(lab: Lab) -> None:
    gather(lab, "in/a", idempotency=Idempotency("k", "a batch"))
    with pytest.raises(IdempotencyMismatch):
        lab.accept(idempotency=Idempotency("k", "a job"))


def test_sources_are_read_from_where_they_are_asked(lab: Lab) -> None:
    batch_id = gather(lab, "in/a", "in/b", "in/c")
    found = lab.store.batch_sources(batch_id, 1, 5)
    assert [source.key for source in found] == ["in/b", "in/c"]


def test_the_cursor_moves_with_the_child_that_it_passes(lab: Lab) -> None:
    batch_id = gather(lab, "in/a", "in/b")
    claim = lab.claim(f"{batch_id}:batch")
    job_id = child(lab, claim, "0")
    found = batch(lab, batch_id)
    assert (found.cursor, found.made, found.status) == ("0", 1, "processing")
    assert lab.get(job_id).batch == batch_id


def test_who_lost_the_claim_makes_no_child(lab: Lab) -> None:
    batch_id = gather(lab, "in/a")
    lost = lab.claim(f"{batch_id}:batch")
    lab.store.died(lost.piece, lost.token)
    lab.claim(f"{batch_id}:batch")
    assert add(lab, lost) == CalledOff("lost")
    assert batch(lab, batch_id).made == 0


def test_a_made_child_renews_the_attempts_of_its_maker(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(lease={"max_deaths": 2})
    batch_id = gather(lab, "in/a", "in/b", "in/c")
    for number in range(3):
        claim = lab.claim(f"{batch_id}:batch")
        child(lab, claim, str(number))
        lab.store.died(claim.piece, claim.token)
    assert batch(lab, batch_id).status == "processing"
    assert lab.store.dead() == []


def test_a_piece_that_gets_nowhere_fails_the_batch(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(lease={"max_deaths": 2})
    batch_id = gather(lab, "in/a")
    for _ in range(2):
        claim = lab.claim(f"{batch_id}:batch")
        lab.store.died(claim.piece, claim.token)
    found = batch(lab, batch_id)
    assert found.status == "failed"
    assert found.error is not None
    assert found.error.code == "worker_lost"


def test_a_failed_walk_over_a_prefix_is_taken_up_by_redrive(lab: Lab) -> None:
    batch_id = gather(lab, prefix={"bucket": "b", "prefix": "p", "suffix": ""})
    claim = lab.claim(f"{batch_id}:batch")
    lab.store.release(claim, "fatal", error=BAD)
    assert batch(lab, batch_id).status == "failed"
    lab.store.redrive(f"{batch_id}:batch")
    assert batch(lab, batch_id).status == "accepted"
    child(lab, lab.claim(f"{batch_id}:batch"))


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
    lab: Lab, ends: list[Any], status: str
) -> None:
    batch_id, _ = expanded(lab, *ends)
    assert batch(lab, batch_id).status == status


def test_a_batch_goes_on_until_all_children_are_made(lab: Lab) -> None:
    batch_id = gather(lab, "in/a", "in/b")
    claim = lab.claim(f"{batch_id}:batch")
    finish(lab, child(lab, claim))
    assert batch(lab, batch_id).status == "processing"
    lab.store.end_stage(claim, "expand")
    assert batch(lab, batch_id).status == "completed"


def test_a_batch_that_left_sources_out_is_not_completed(lab: Lab) -> None:
    batch_id = gather(lab, "in/a", "in/b")
    claim = lab.claim(f"{batch_id}:batch")
    finish(lab, child(lab, claim))
    lab.store.end_stage(claim, "expand", short=True, warnings=["only one"])
    assert batch(lab, batch_id).status == "partial"
    assert batch(lab, batch_id).warnings == ["only one"]


def test_children_are_counted_by_status(lab: Lab) -> None:
    batch_id, jobs = expanded(lab, finish, fail, cancel, leave, leave)
    lab.claim(f"{jobs[4]}:prepare")
    assert counts(lab, batch_id) == {
        "completed": 1,
        "failed": 1,
        "cancelled": 1,
        "accepted": 1,
        "processing": 1,
    }


def test_a_deleted_child_is_counted_apart_and_no_longer_waited_for(lab: Lab) -> None:
    batch_id, jobs = expanded(lab, finish, leave)
    lab.store.delete(jobs[1])
    assert counts(lab, batch_id) == {"completed": 1, "deleted": 1}
    assert batch(lab, batch_id).status == "completed"


def test_the_end_is_told_once(lab: Lab) -> None:
    batch_id = gather(lab, "in/a", subscriptions=[TOLD | {"events": ["batch.failed"]}])
    claim = lab.claim(f"{batch_id}:batch")
    job_id = child(lab, claim)
    lab.store.end_stage(claim, "expand")
    fail(lab, job_id)
    told = [(one.job_id, one.event.type) for one in lab.store.notices("")[0]]
    assert told == [(batch_id, "batch.failed")]


def test_a_retried_child_opens_its_batch_again(lab: Lab) -> None:
    batch_id, jobs = expanded(lab, fail)
    lab.store.retry(jobs[0])
    assert batch(lab, batch_id).status == "processing"
    assert lab.client.ttl(lab.key(f"batch:{batch_id}")) == -1
    finish(lab, jobs[0])
    assert batch(lab, batch_id).status == "completed"
    assert counts(lab, batch_id) == {"completed": 1}
    assert lab.events(batch_id)[-2:] == ["batch.reopened", "batch.completed"]


def test_an_ended_batch_expires_with_its_lines(lab: Lab) -> None:
    batch_id, _ = expanded(lab, finish)
    assert lab.client.ttl(lab.key(f"batch:{batch_id}")) > 0
    for chore in lab.client.zrange(lab.key("chores"), 0, -1):
        lab.has_run_out(str(chore))
    for chore in lab.store.chores():
        lab.store.finish_chore(chore)
    left = [name for name in lab.snapshot() if name.startswith(("batches", "batch-"))]
    assert left == []


def test_a_full_owner_waits_until_a_child_ends(lab: Lab) -> None:
    batch_id = gather(lab, "in/a", "in/b")
    claim = lab.claim(f"{batch_id}:batch")
    job_id = child(lab, claim)
    assert add(lab, claim, "1", Caps(owner=1)) == Full("owner")
    lab.store.release(claim, "defer", delay_seconds=60)
    assert lab.store.claim(claim.piece, "t", "w").reason == "early"  # type: ignore[union-attr]
    fail(lab, job_id)
    child(lab, lab.claim(f"{batch_id}:batch"), "1")


def test_waiting_for_room_costs_no_attempt(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(lease={"max_attempts": 2, "max_refunds": 0})
    batch_id = gather(lab, "in/a")
    for _ in range(5):
        claim = lab.claim(f"{batch_id}:batch")
        lab.store.release(claim, "defer")
    assert lab.claim(f"{batch_id}:batch").attempt == 1


def test_children_and_other_jobs_share_the_day_of_their_key(lab: Lab) -> None:
    keys = Keys(lab.client, lab.prefix)
    keys.spend("k1", 2)
    batch_id = gather(lab, "in/a", "in/b")
    claim = lab.claim(f"{batch_id}:batch")
    day = Caps(day=("k1", 2))
    assert isinstance(add(lab, claim, "0", day), Accepted)
    full = add(lab, claim, "1", day)
    assert full.scope == "day"
    assert 0 < full.wait <= 86_400
    assert not keys.spend("k1", 2).granted


def test_uploads_pass_from_the_batch_to_its_children(lab: Lab) -> None:
    batch_id = gather(lab, "in/a", "in/b")
    claim = lab.claim(f"{batch_id}:batch")
    new = NewJob("e" * 32, "", uploaded("in/a"), lab.new_job().outputs)
    lab.store.add_child(claim, new, "0", NO_CAPS)
    lab.store.end_stage(claim, "expand", short=True)
    assert lab.client.smembers(lab.key("users:in/a")) == {"e" * 32}
    assert not lab.client.exists(lab.key("users:in/b"))


def test_the_reaper_rings_for_a_batch_whose_bell_was_lost(lab: Lab) -> None:
    batch_id = gather(lab, "in/a")
    lab.reaper_was_here()
    lab.ripen(f"{batch_id}:batch", "pending:fast")
    (bell,) = lab.store.reap(10, IDLE).bells
    assert (bell.piece, bell.kind) == (f"{batch_id}:batch", "batch")


def test_a_lost_lease_gives_the_piece_to_another(lab: Lab) -> None:
    batch_id = gather(lab, "in/a")
    lost = lab.claim(f"{batch_id}:batch")
    lab.reaper_was_here()
    lab.expire(lost.piece)
    lab.store.reap(10, IDLE)
    again = lab.claim(lost.piece)
    assert again.fence > lost.fence
    assert add(lab, lost) == CalledOff("lost")
