"""A part of the service itself is away: work waits, at no cost, for a bounded time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from common.jobs.store import Claim, JobStore, Opening, Refusal
from common.model import ErrorInfo, Waiting
from common.settings.sections import Lease
from tests.common.jobs.store.context import BAD, IDLE, MEDIA, StoreContext, an_artifact

AWAY = ErrorInfo(code="storage_unavailable", title="Away", detail="answers 500")
HOST = "host:1"


def shut(store_context: StoreContext, task: str) -> Claim:
    """Claim a task and give it back because the storage is away."""
    claim = store_context.claim(task)
    assert store_context.store.release(claim, "wait", error=AWAY).applied
    return claim


def reopens(store_context: StoreContext, task: str) -> None:
    """Let the host's pause, and the task's, be over."""
    store_context.make_due(task, "delayed")
    store_context.client.hdel(store_context.key("away"), "host")


def outwaits(store_context: StoreContext, task: str) -> None:
    """Let the deadline of a task that waits be over."""
    store_context.client.hset(store_context.key(f"piece:{task}"), "away_since", 1)


def entry(store_context: StoreContext, host: str = "host") -> dict[str, Any]:
    return json.loads(str(store_context.client.hget(store_context.key("away"), host)))


def passes(store_context: StoreContext, host: str, until: int | None = None) -> None:
    """Let the pause of a host be over: a moment ago, or at Unix ms ``until``."""
    ended = store_context.client.time()[0] * 1000 - 1000 if until is None else until
    changed = entry(store_context, host) | {"until": ended}
    store_context.client.hset(store_context.key("away"), host, json.dumps(changed))


def opened_by(store_context: StoreContext, worker: str) -> str:
    """Return a job whose prepare has ended well on another host."""
    job_id = store_context.accept()
    claim = store_context.store.claim(f"{job_id}:prepare", "t", worker)
    assert isinstance(claim, Claim)
    store_context.store.open(claim, MEDIA, claim.source, {"poster": Opening()})
    return job_id


def test_work_that_waits_uses_up_nothing(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(lease=Lease(max_attempts=1))
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    for _ in range(20):
        claim = shut(store_context, task)
        assert (claim.attempt, claim.lost, claim.deaths) == (1, 0, 0)
        reopens(store_context, task)
    output = store_context.get(job_id).outputs[0]
    assert (output.status, output.attempts, output.error) == ("queued", [], None)
    assert store_context.make(task).job_ended
    assert store_context.status(job_id) == "completed"


def test_the_job_says_what_it_waits_for_until_it_gets_on(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(lease=Lease(outage_hours=2))
    job_id = store_context.opened("poster", "other")
    assert store_context.get(job_id).waiting is None
    version = store_context.get(job_id).version
    shut(store_context, f"{job_id}:o:poster")

    job = store_context.get(job_id)
    assert job.waiting == Waiting(
        error=AWAY, since=job.updated_at, until=job.updated_at + 2 * 3_600_000
    )
    assert (job.status, job.version > version) == ("processing", True)

    reopens(store_context, f"{job_id}:o:poster")
    shut(store_context, f"{job_id}:o:poster")
    again = store_context.get(job_id).waiting
    assert again is not None
    assert again.since == job.waiting.since
    assert store_context.events(job_id).count("output.requeued") == 1

    reopens(store_context, f"{job_id}:o:poster")
    store_context.make(f"{job_id}:o:other")
    assert store_context.get(job_id).waiting is None


def test_prepare_waits_as_well(store_context: StoreContext) -> None:
    job_id = store_context.accept()
    shut(store_context, f"{job_id}:prepare")
    assert store_context.get(job_id).waiting is not None
    reopens(store_context, f"{job_id}:prepare")
    store_context.open(job_id)
    assert store_context.get(job_id).waiting is None


def test_the_host_claims_nothing_meanwhile_and_others_do(
    store_context: StoreContext,
) -> None:
    shut(store_context, f"{store_context.opened()}:o:poster")
    job_id = opened_by(store_context, "other:1")
    task = f"{job_id}:o:poster"

    assert store_context.store.claim(task, "x", "host:2") == Refusal("early")
    assert store_context.store.claim(task, "x", "host:2") == Refusal("early")

    # What was refused waits for the end of the pause, and says why.
    assert store_context.get(job_id).waiting is not None
    store_context.reaper_was_here()
    store_context.make_due(task, "delayed")
    assert task in [
        message.task for message in store_context.store.reap(100, IDLE).messages
    ]
    claim = store_context.store.claim(task, "y", "other:7")
    assert isinstance(claim, Claim)
    assert (claim.attempt, store_context.get(job_id).waiting is not None) == (1, True)


def test_a_host_without_storage_delivers_deliveries(
    store_context: StoreContext,
) -> None:
    hook = {"type": "webhook", "url": "https://a.test", "events": ["job.accepted"]}
    store_context.store.part_away(HOST, AWAY)
    job_id = store_context.accept(subscriptions=[hook])
    assert store_context.claim(f"{job_id}:n:1").kind == "notice"


def test_the_pause_is_longer_each_time_in_a_row_and_over_with_the_next_success(
    store_context: StoreContext,
) -> None:
    pauses = []
    for _ in range(7):
        store_context.store.part_away(HOST, AWAY)
        until = entry(store_context)["until"]
        pauses.append(round((until - store_context.client.time()[0] * 1000) / 1000))
        store_context.store.part_away(HOST, AWAY)
        assert entry(store_context)["until"] == until, "a second task of the same pause"
        passes(store_context, "host")
    # The clock is read in whole seconds.
    assert pauses == pytest.approx([5, 10, 20, 40, 80, 120, 120], abs=1)
    store_context.make(f"{store_context.opened()}:o:poster")
    assert store_context.store.stats().away == []


def test_the_stats_tell_which_host_misses_what(store_context: StoreContext) -> None:
    assert store_context.store.stats().away == []
    store_context.store.part_away("a:1", AWAY)
    (missed,) = store_context.store.stats().away
    assert (missed.host, missed.error) == ("a", AWAY)
    passes(store_context, "a", 1)
    assert store_context.store.stats().away == [], "nobody has met it again for long"
    assert store_context.store.stats().counters["away"] == 1


def test_hosts_that_never_come_back_are_forgotten(store_context: StoreContext) -> None:
    for host in ("old", "recent"):
        store_context.store.part_away(f"{host}:1", AWAY)
    passes(store_context, "old", 1)
    passes(store_context, "recent")
    store_context.store.part_away("new:1", AWAY)
    hosts = store_context.client.hkeys(store_context.key("away"))
    assert sorted(hosts) == ["new", "recent"]


def test_no_pause_is_longer_than_the_wait_itself(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(lease=Lease(outage_hours=0.0005))
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    shut(store_context, task)
    waiting = store_context.get(job_id).waiting
    assert waiting is not None
    due = store_context.client.zscore(store_context.key("delayed"), task)
    assert due == waiting.until


def test_after_its_deadline_the_work_fails_with_the_reason(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    shut(store_context, task)
    reopens(store_context, task)
    outwaits(store_context, task)

    claim = store_context.claim(task)
    assert store_context.store.release(claim, "wait", error=AWAY).job_ended

    job = store_context.get(job_id)
    assert (job.status, job.waiting) == ("failed", None)
    assert job.outputs[0].error == AWAY
    assert [dead.task for dead in store_context.store.dead()] == [task]
    store_context.client.hdel(store_context.key("away"), "host")
    assert store_context.store.retry(job_id).applied
    shut(store_context, task)
    reopens(store_context, task)
    assert store_context.make(task).job_ended
    assert store_context.status(job_id) == "completed"


def test_the_copy_of_what_waited_before_has_a_deadline_of_its_own(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    shut(store_context, task)
    reopens(store_context, task)
    outwaits(store_context, task)
    claim = store_context.claim(task)
    store_context.store.finish(claim, [an_artifact(claim)], publish=True)

    shut(store_context, task)
    assert store_context.status(job_id) == "processing"


def test_after_its_deadline_no_more_claim_is_needed_to_end_it(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    outwaits(store_context, task)
    store_context.store.part_away(HOST, AWAY)
    assert store_context.store.claim(task, "x", HOST) == Refusal("exhausted")
    assert store_context.status(job_id) == "failed"


def test_a_cancel_ends_what_waits(store_context: StoreContext) -> None:
    job_id = store_context.opened()
    shut(store_context, f"{job_id}:o:poster")
    store_context.store.cancel(job_id)
    job = store_context.get(job_id)
    assert (job.status, job.waiting) == ("cancelled", None)


def test_a_fault_of_the_media_ends_the_wait(store_context: StoreContext) -> None:
    job_id = store_context.opened("poster", "other")
    task = f"{job_id}:o:poster"
    shut(store_context, task)
    reopens(store_context, task)
    store_context.store.release(store_context.claim(task), "fatal", error=BAD)
    assert store_context.get(job_id).waiting is None
    claim = store_context.claim(f"{job_id}:o:other")
    assert store_context.store.finish(claim, [an_artifact(claim)]).job_ended


@pytest.mark.parametrize(("worker", "host"), [("solo", "solo"), ("a:b:7", "a:b")])
def test_a_host_is_what_stands_before_the_last_colon(
    store_context: StoreContext, worker: str, host: str
) -> None:
    store: JobStore = store_context.store
    store.part_away(worker, AWAY)
    assert [one.host for one in store.stats().away] == [host]
