"""Owners take turns in a queue, whatever task a message names."""

from __future__ import annotations

from collections import Counter

import pytest

from common.jobs.store import Claim, NewOutput, Opening, Refusal
from tests.common.jobs.store.context import BAD, IDLE, MEDIA, StoreContext

SLOW = NewOutput("gif", "animation", {"kind": "animation"}, "slow")


def prepares(store_context: StoreContext, owner: str, count: int) -> list[str]:
    return [f"{store_context.accept(owner=owner)}:prepare" for _ in range(count)]


def test_the_only_job_of_one_owner_does_not_wait_for_the_many_of_another(
    store_context: StoreContext,
) -> None:
    many = prepares(store_context, "many", 20)
    (one,) = prepares(store_context, "one", 1)

    done = [store_context.next(named=task) for task in many[:3]]

    assert one in done[:2]
    assert done == [many[0], one, many[1]]


def test_each_owner_has_his_turn_and_each_task_is_done_once(
    store_context: StoreContext,
) -> None:
    tasks = {
        owner: prepares(store_context, owner, count)
        for owner, count in (("a", 6), ("b", 4), ("c", 2))
    }
    named = [task for each in tasks.values() for task in each]

    done = [store_context.next(named=task) for task in named]

    assert sorted(done) == sorted(named)
    owners = [next(o for o, each in tasks.items() if task in each) for task in done]
    assert Counter(owners[:6]) == {"a": 2, "b": 2, "c": 2}
    for owner, each in tasks.items():
        assert [task for task in done if task in each] == each, f"{owner}: first come"
    refused = store_context.store.claim(named[0], "late", "host:1", "fast")
    assert refused == Refusal("busy")


def test_an_owner_who_was_just_served_waits_for_the_others(
    store_context: StoreContext,
) -> None:
    first, second = prepares(store_context, "a", 2)
    (other,) = prepares(store_context, "b", 1)
    assert store_context.next() == first
    (late,) = prepares(store_context, "a", 1)

    assert [store_context.next() for _ in range(3)] == [other, second, late]


def test_queues_have_lines_of_their_own(store_context: StoreContext) -> None:
    job_id = store_context.accept(outputs=[SLOW])
    claim = store_context.claim(f"{job_id}:prepare")
    store_context.store.open(claim, MEDIA, claim.source, {"gif": Opening()})
    (other,) = prepares(store_context, "b", 1)

    assert store_context.next("slow", other) == f"{job_id}:o:gif"
    assert store_context.next("fast", f"{job_id}:o:gif") == other


def test_a_message_of_a_deleted_job_does_the_work_of_another(
    store_context: StoreContext,
) -> None:
    """Each message is worth one task, so none waits for a message that came before."""
    gone, kept = (store_context.accept() for _ in range(2))
    store_context.store.delete(gone)

    assert store_context.next(named=f"{gone}:prepare") == f"{kept}:prepare"


def test_a_repeated_claim_gets_the_task_that_the_first_one_got(
    store_context: StoreContext,
) -> None:
    first, second, _third = prepares(store_context, "a", 3)

    assert store_context.next(named=second, token="mine") == first
    assert store_context.next(named=second, token="mine") == first


def test_a_delayed_task_is_in_line_once_its_delay_is_over(
    store_context: StoreContext,
) -> None:
    (task,) = prepares(store_context, "a", 1)
    claim = store_context.claim(task)
    store_context.store.release(claim, "retry", error=BAD, delay_seconds=60)
    (other,) = prepares(store_context, "a", 1)
    assert store_context.next(named=task) == other
    early = store_context.store.claim(task, "x", "host:1", "fast")
    assert early == Refusal("early")

    store_context.make_due(task, "delayed")
    store_context.reaper_was_here()
    store_context.store.reap(100, IDLE)

    assert store_context.next() == task


def test_a_lost_task_and_one_given_back_are_in_line_again(
    store_context: StoreContext,
) -> None:
    lost, given_back = prepares(store_context, "a", 2)
    store_context.claim(lost)
    store_context.store.release(store_context.claim(given_back), "refund")
    store_context.expire(lost)
    store_context.reaper_was_here()
    store_context.store.reap(100, IDLE)

    assert [store_context.next() for _ in range(2)] == [given_back, lost]


def test_the_death_of_a_process_is_counted_for_the_task_that_it_had(
    store_context: StoreContext,
) -> None:
    had, named = prepares(store_context, "a", 2)
    assert store_context.next(named=named, token="message:1") == had
    other = store_context.claim(named, "other:1")

    assert store_context.store.died(named, "message:").applied

    claim = store_context.claim(had)
    assert (claim.deaths, claim.attempt) == (1, 1)
    assert store_context.store.beat(other) == "ok"


@pytest.mark.parametrize("what", ["claimed", "unknown"])
def test_a_task_that_an_earlier_version_wrote_or_claimed_is_done_once(
    store_context: StoreContext, what: str
) -> None:
    """Workers and APIs of two versions share the store while they are replaced."""
    old, new = prepares(store_context, "a", 2)
    line = store_context.key("queued:fast:a")
    if what == "unknown":
        store_context.client.zrem(line, old)
    else:
        kept = store_context.client.zscore(line, old)
        store_context.claim(old)
        store_context.client.zadd(line, {old: kept})

    done = [store_context.next(named=old)]
    if what == "unknown":
        done.append(store_context.next(named=new))

    assert sorted(done) == sorted([old, new] if what == "unknown" else [new])
    refused = store_context.store.claim(new, "late", "host:1", "fast")
    assert refused == Refusal("busy")


def test_nothing_is_left_of_a_line_that_has_ended(store_context: StoreContext) -> None:
    (task,) = prepares(store_context, "a", 1)
    assert store_context.next() == task
    assert not isinstance(store_context.store.claim("", "t", "w", "fast"), Claim)

    kept = store_context.snapshot()
    assert not [key for key in kept if key.startswith(("queued:", "turns:"))]
