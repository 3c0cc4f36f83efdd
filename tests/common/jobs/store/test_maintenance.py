"""The reaper's pass, and the upkeep around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from common.errors import Conflict, NotFound
from common.jobs.store import JobStore, Opening, Refusal
from common.settings.sections import Lease
from tests.common.jobs.store.context import BAD, IDLE, MEDIA, StoreContext


def test_an_expired_lease_goes_back_to_its_queue(store_context: StoreContext) -> None:
    job_id = store_context.opened()
    claim = store_context.claim(f"{job_id}:o:poster")
    store_context.reaper_was_here()
    store_context.expire(claim.task)

    reaped = store_context.store.reap(100, IDLE)

    assert (reaped.expired, reaped.failed, reaped.outage) == (1, 0, False)
    assert [message.task for message in reaped.messages] == [claim.task]
    assert store_context.states(job_id) == ["queued"]
    again = store_context.claim(claim.task)
    assert (again.attempt, again.lost) == (1, 1)


def test_a_living_lease_is_left_alone(store_context: StoreContext) -> None:
    claim = store_context.claim(f"{store_context.opened()}:o:poster")
    store_context.reaper_was_here()
    assert store_context.store.reap().expired == 0
    assert store_context.store.beat(claim) == "ok"


def test_lost_leases_end_a_task_at_their_own_limit(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(lease=Lease(max_lost_leases=3, max_attempts=1))
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    passes = []
    for _ in range(3):
        store_context.claim(task)
        store_context.reaper_was_here()
        store_context.expire(task)
        passes.append(store_context.store.reap().failed)
    assert passes == [0, 0, 1]
    assert store_context.status(job_id) == "failed"
    (dead,) = store_context.store.dead()
    assert (dead.task, dead.job_id, dead.output) == (task, job_id, "poster")
    assert dead.error.code == "worker_lost"
    said = [report.error for report in store_context.get(job_id).outputs[0].attempts]
    for number, error in enumerate(said, 1):
        assert error is not None
        assert error.detail.startswith("the worker vanished while it had this work")
        assert f", {number} of at most 3 times" in error.detail
    assert dead.error == said[-1]


@pytest.mark.parametrize("seconds", [16, 3600])
def test_after_an_outage_every_lease_is_extended(
    store_context: StoreContext, seconds: int
) -> None:
    claim = store_context.claim(f"{store_context.opened()}:o:poster")
    store_context.expire(claim.task)
    store_context.reaper_was_away(seconds)

    first, second = store_context.store.reap(), store_context.store.reap()

    assert (first.outage, first.expired) == (True, 0)
    assert (second.outage, second.expired) == (False, 0)
    assert store_context.store.beat(claim) == "ok"


def test_a_short_pause_is_no_outage(store_context: StoreContext) -> None:
    store_context.reaper_was_away(11)
    assert not store_context.store.reap().outage


def test_the_first_pass_ever_expires_nothing(store_context: StoreContext) -> None:
    claim = store_context.claim(f"{store_context.opened()}:o:poster")
    store_context.expire(claim.task)
    reaped = store_context.store.reap()
    assert (reaped.outage, reaped.expired) == (False, 0)
    assert "outages" not in store_context.store.stats().counters
    assert store_context.store.beat(claim) == "ok"


def test_a_cancelled_task_whose_worker_vanished_is_cancelled(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    claim = store_context.claim(f"{job_id}:o:poster")
    store_context.store.cancel(job_id)
    store_context.reaper_was_here()
    store_context.expire(claim.task)
    assert store_context.store.reap(100, IDLE).messages == []
    assert store_context.status(job_id) == "cancelled"


def test_a_message_that_led_to_nothing_is_sent_again(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept()
    task = f"{job_id}:prepare"
    store_context.reaper_was_here()
    assert store_context.store.reap(100, IDLE).messages == []

    store_context.make_due(task, "pending:fast")
    reaped = store_context.store.reap(100, IDLE)

    assert [message.task for message in reaped.messages] == [task]
    assert reaped.republished == 1
    assert store_context.store.reap(100, IDLE).messages == []


def test_the_pauses_between_rings_grow_to_ten_minutes(
    store_context: StoreContext,
) -> None:
    task = f"{store_context.accept()}:prepare"
    pauses = []
    for _ in range(7):
        store_context.reaper_was_here()
        store_context.make_due(task, "pending:fast")
        store_context.store.reap(100, IDLE)
        due = store_context.client.zscore(store_context.key("pending:fast"), task)
        assert isinstance(due, float)
        pauses.append(round(due / 1000 - store_context.client.time()[0], -1))
    assert pauses == [30, 60, 120, 240, 480, 600, 600]


def test_what_waits_behind_its_message_is_not_sent_again(
    store_context: StoreContext,
) -> None:
    tasks = [f"{store_context.accept()}:prepare" for _ in range(5)]
    for task in tasks:
        store_context.make_due(task, "pending:fast")
    store_context.reaper_was_here()

    gated = store_context.store.reap(100, {"fast": 5, "slow": 0})
    one_lost = store_context.store.reap(100, {"fast": 4, "slow": 9})

    assert (gated.messages, gated.skipped) == ([], 5)
    assert (len(one_lost.messages), one_lost.skipped) == (1, 4)


def test_a_longer_backlog_than_tasks_rings_nothing(store_context: StoreContext) -> None:
    task = f"{store_context.accept()}:prepare"
    store_context.make_due(task, "pending:fast")
    store_context.reaper_was_here()
    assert store_context.store.reap(100, {"fast": 50}).messages == []


def test_the_limit_bounds_a_pass(store_context: StoreContext) -> None:
    for _ in range(5):
        store_context.make_due(f"{store_context.accept()}:prepare", "pending:fast")
    store_context.reaper_was_here()
    assert len(store_context.store.reap(2, IDLE).messages) == 2
    assert len(store_context.store.reap(100, IDLE).messages) == 3


def test_while_the_broker_is_away_no_backoff_grows(store_context: StoreContext) -> None:
    task = f"{store_context.accept()}:prepare"
    store_context.make_due(task, "pending:fast")
    store_context.reaper_was_here()
    assert store_context.store.reap(100, None).messages == []
    assert [
        message.task for message in store_context.store.reap(100, IDLE).messages
    ] == [task]


def test_a_delayed_retry_is_sent_at_its_time_past_the_gate(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    store_context.store.release(
        store_context.claim(task), "retry", error=BAD, delay_seconds=60
    )
    store_context.reaper_was_here()
    assert store_context.store.reap(100, IDLE).messages == []

    store_context.make_due(task, "delayed")
    reaped = store_context.store.reap(100, {"fast": 100, "slow": 100})

    assert [message.task for message in reaped.messages] == [task]
    assert store_context.store.reap(100, IDLE).messages == []


def test_a_claimed_task_is_not_sent(store_context: StoreContext) -> None:
    task = f"{store_context.opened()}:o:poster"
    store_context.claim(task)
    store_context.reaper_was_here()
    assert store_context.client.zscore(store_context.key("pending:fast"), task) is None
    assert store_context.store.reap(100, IDLE).messages == []


def test_counts_tell_the_state_of_the_store(store_context: StoreContext) -> None:
    store_context.accept()
    store_context.claim(f"{store_context.opened()}:o:poster")
    store_context.done()
    store_context.reaper_was_here()
    store_context.store.worker_alive("host:1", {"queues": ["fast"]})

    stats = store_context.store.stats()

    assert stats.pending == {"fast": 1, "slow": 0}
    assert 0 <= stats.oldest_pending_seconds["fast"] < 60
    assert (stats.leased, stats.dead, stats.workers) == (1, 0, 1)
    assert stats.jobs["processing"] == 1
    assert stats.jobs["completed"] == 1
    assert stats.counters["accepted"] == 3
    assert stats.reaper_seconds is not None
    assert stats.reaper_seconds < 60


def test_living_workers_are_listed_and_silent_ones_not(
    store_context: StoreContext,
) -> None:
    store_context.store.worker_alive("a:1", {"queues": ["fast"]})
    store_context.store.worker_alive("b:2", {})
    (worker, _) = store_context.store.workers()
    assert (worker["name"], worker["info"]) == ("a:1", {"queues": ["fast"]})
    store_context.client.zadd(store_context.key("workers"), {"a:1": 1})
    assert [one["name"] for one in store_context.store.workers()] == ["b:2"]


def kill(store_context: StoreContext, task: str) -> None:
    """Let workers die on a task until it is given up."""
    while not isinstance(claim := store_context.store.claim(task, "t", "w"), Refusal):
        store_context.store.died(task, claim.token)


def test_a_dead_output_is_redriven_with_renewed_attempts(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened("one", "two")
    kill(store_context, f"{job_id}:o:one")
    store_context.ruin(f"{job_id}:o:two")
    old = store_context.client.hget(store_context.key(f"job:{job_id}"), "fence")

    outcome = store_context.store.redrive(f"{job_id}:o:one")

    assert [message.task for message in outcome.messages] == [f"{job_id}:o:one"]
    assert store_context.states(job_id) == ["queued", "failed"]
    assert store_context.store.dead() == []
    claim = store_context.claim(f"{job_id}:o:one")
    assert (claim.attempt, claim.deaths) == (1, 0)
    assert claim.fence > int(str(old))


def test_redriving_twice_is_redriving_once(store_context: StoreContext) -> None:
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    kill(store_context, task)

    first, second = (store_context.store.redrive(task) for _ in range(2))
    store_context.claim(task)
    third = store_context.store.redrive(task)

    assert [one.applied for one in (first, second, third)] == [True, False, False]
    assert (second.messages, third.messages) == ([], [])
    assert store_context.states(job_id) == ["running"]
    assert store_context.events(job_id).count("job.retried") == 1


def test_a_dead_task_says_how_often_a_worker_had_it(
    store_context: StoreContext,
) -> None:
    task = f"{store_context.opened()}:o:poster"
    store_context.store.release(store_context.claim(task), "retry", error=BAD)
    kill(store_context, task)
    deaths = store_context.store.settings.lease.max_deaths
    (dead,) = store_context.store.dead()
    assert (dead.attempts, dead.gone) == (1 + deaths, False)
    store_context.client.delete(store_context.key(f"piece:{task}"))
    (dead,) = store_context.store.dead()
    assert dead.gone


def test_the_queues_say_what_is_ready_delayed_and_running(
    store_context: StoreContext,
) -> None:
    oldest = f"{store_context.accept()}:prepare"
    store_context.accept()
    delayed = store_context.claim(f"{store_context.accept()}:prepare")
    store_context.store.release(delayed, "retry", error=BAD, delay_seconds=60)
    store_context.claim(f"{store_context.opened()}:o:poster")
    store_context.client.zadd(store_context.key("queued:fast"), {oldest: 5000})

    fast, slow = store_context.store.activity().queues

    assert (fast.name, fast.ready, fast.delayed, fast.running) == ("fast", 2, 1, 1)
    assert (fast.oldest, fast.since) == (oldest, 5000)
    assert (slow.name, slow.ready, slow.delayed, slow.running) == ("slow", 0, 0, 0)
    assert (slow.oldest, slow.since) == (None, None)


def test_a_queue_of_delayed_tasks_has_none_that_waits(
    store_context: StoreContext,
) -> None:
    claim = store_context.claim(f"{store_context.accept()}:prepare")
    store_context.store.release(claim, "retry", error=BAD, delay_seconds=60)
    fast, _ = store_context.store.activity().queues
    assert (fast.ready, fast.delayed, fast.oldest) == (0, 1, None)


def of_the_hour(store_context: StoreContext) -> tuple[Counter[str], Counter[str]]:
    """Return the sums of the last hour: counters, and failures by code."""
    counters: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for minute in store_context.store.activity().minutes:
        counters.update(minute.counters)
        failures.update(minute.failures)
    return counters, failures


def test_the_hour_has_what_was_counted_in_it(store_context: StoreContext) -> None:
    store_context.done()
    job_id = store_context.opened("one", "two")
    store_context.make(f"{job_id}:o:one")
    store_context.ruin(f"{job_id}:o:two")
    kill(store_context, f"{store_context.accept('one', 'two')}:prepare")
    store_context.store.cancel(store_context.accept())

    counters, failures = of_the_hour(store_context)

    assert counters == Counter(store_context.store.stats().counters)
    expected = {"accepted": 4, "completed": 1, "partial": 1, "failed": 1}
    assert expected.items() <= counters.items()
    assert counters["cancelled"] == counters["dead"] == 1
    # One output; one source, not each output that waited for it.
    assert failures == {"decode_error": 1, "worker_lost": 1}


def test_outputs_are_counted_by_how_long_their_jobs_took(
    store_context: StoreContext,
) -> None:
    created = {"quick": 0.5, "slow": 7, "endless": 5000}
    for age in created.values():
        job_id = store_context.opened()
        key = store_context.key(f"job:{job_id}")
        began = int(store_context.client.hget(key, "created")) - round(age * 1000)
        store_context.client.hset(key, "created", began)
        store_context.make(f"{job_id}:o:poster")

    (took,) = store_context.store.stats().took.values()

    assert took.counts == {"1": 1, "10": 1, "inf": 1}
    assert sum(created.values()) <= took.seconds < sum(created.values()) + 60


def test_a_job_that_was_run_again_is_in_no_latency(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    store_context.ruin(f"{job_id}:o:poster")
    store_context.store.retry(job_id)
    store_context.make(f"{job_id}:o:poster")

    assert store_context.store.get(job_id).status == "completed"
    assert store_context.store.stats().took == {}


def test_failures_are_counted_by_code_for_good(store_context: StoreContext) -> None:
    for _ in range(2):
        store_context.ruin(f"{store_context.opened()}:o:poster")
    assert store_context.store.stats().failures == {"decode_error": 2}


def test_an_output_that_the_source_rules_out_is_a_failure(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept()
    claim = store_context.claim(f"{job_id}:prepare")
    openings = {"poster": Opening(error=BAD)}
    store_context.store.open(claim, MEDIA, claim.source, openings)
    assert of_the_hour(store_context)[1] == {"decode_error": 1}


def test_a_minute_is_counted_on_its_own_and_leaves_after_the_hour(
    store_context: StoreContext,
) -> None:
    client = store_context.client
    now = int(client.time()[0]) // 60
    for number in range(now - 62, now):
        client.hset(store_context.key(f"minute:{number}"), "accepted", number)
    store_context.accept()

    minutes = store_context.store.activity().minutes

    counted = {one.at // 60_000: one.counters.get("accepted") for one in minutes}
    last = max(counted)
    assert last in {now, now + 1}
    assert list(counted) == list(range(last - 59, last + 1))
    assert counted[last - 59] == last - 59
    keys = list(client.scan_iter(store_context.key("minute:*")))
    (lives,) = [client.ttl(one) for one in keys if client.ttl(one) >= 0]
    assert 3600 <= lives <= 3660


def test_redriving_what_is_not_dead_is_refused(store_context: StoreContext) -> None:
    job_id = store_context.done()
    with pytest.raises(Conflict):
        store_context.store.redrive(f"{job_id}:o:poster")
    with pytest.raises(NotFound):
        store_context.store.redrive("f" * 32 + ":o:poster")


def test_dead_tasks_are_purged_singly_or_all(store_context: StoreContext) -> None:
    tasks = [f"{store_context.opened()}:o:poster" for _ in range(3)]
    for task in tasks:
        kill(store_context, task)
    assert store_context.store.purge(tasks[0]) == 1
    assert {dead.task for dead in store_context.store.dead()} == set(tasks[1:])
    assert store_context.store.purge() == 2
    assert store_context.store.dead() == []


def cleanups(store: JobStore) -> dict[str, str]:
    return {cleanup.kind: cleanup.member for cleanup in store.cleanups()}


def all_due(store_context: StoreContext) -> None:
    for member in store_context.client.zrange(store_context.key("chores"), 0, -1):
        store_context.has_run_out(str(member))


def test_an_ended_job_leaves_its_cleanups(store_context: StoreContext) -> None:
    job_id = store_context.done()
    assert store_context.store.cleanups() == []
    all_due(store_context)
    assert set(cleanups(store_context.store)) == {"litter", "source", "record"}
    assert {cleanup.job_id for cleanup in store_context.store.cleanups()} == {job_id}


def test_uncommitted_files_are_due_once_no_attempt_can_be_running(
    store_context: StoreContext,
) -> None:
    job_id = store_context.done()
    job = store_context.store.get(job_id)
    assert job is not None
    ended = job.finished_at
    due = store_context.client.zscore(store_context.key("chores"), f"litter:{job_id}")
    assert ended is not None
    hard_seconds = store_context.store.settings.engine.hard_seconds
    assert due == pytest.approx(ended + hard_seconds * 1000, abs=1000)


def test_a_retried_job_has_no_cleanups(store_context: StoreContext) -> None:
    job_id = store_context.opened()
    store_context.ruin(f"{job_id}:o:poster")
    store_context.store.retry(job_id)
    assert not store_context.client.exists(store_context.key("chores"))


def test_a_source_goes_when_its_last_job_has_let_go(
    store_context: StoreContext,
) -> None:
    first = store_context.new_job()
    store_context.store.accept(first)
    second = store_context.accept(source=first.source)
    for job_id in (first.id, second):
        store_context.open(job_id)
        store_context.make(f"{job_id}:o:poster")
    all_due(store_context)
    ones, others = [
        cleanup
        for cleanup in store_context.store.cleanups()
        if cleanup.kind == "source"
    ]

    store_context.store.finish_cleanup(ones)
    assert "blob" not in cleanups(store_context.store)
    store_context.store.finish_cleanup(others)

    assert cleanups(store_context.store)["blob"] == f"blob:{first.source.key}"
    assert not store_context.get(second).source_kept


def test_the_cleanup_of_a_record_removes_its_index_lines(
    store_context: StoreContext,
) -> None:
    job_id = store_context.done(owner="a:b")
    all_due(store_context)
    (record,) = [
        cleanup
        for cleanup in store_context.store.cleanups()
        if cleanup.kind == "record"
    ]
    assert record.job_id == job_id
    # the hashes go by their TTL
    for key in store_context.client.scan_iter(store_context.key("*")):
        if store_context.client.ttl(key) > 0 and "call:" not in key:
            store_context.client.delete(key)
    assert store_context.store.list("a:b") == ([], None)

    store_context.store.finish_cleanup(record)

    assert not [name for name in store_context.snapshot() if name.startswith("jobs:")]


def test_a_deferred_cleanup_comes_later(store_context: StoreContext) -> None:
    store_context.done()
    all_due(store_context)
    for cleanup in store_context.store.cleanups():
        store_context.store.defer_cleanup(cleanup)
    assert store_context.store.cleanups() == []


def test_an_upload_that_no_job_took_is_cleaned(store_context: StoreContext) -> None:
    store_context.store.reserve_blob("in/x/source", -1)
    (cleanup,) = store_context.store.cleanups()
    assert (cleanup.kind, cleanup.key) == ("blob", "in/x/source")


def test_an_accepted_job_takes_its_upload(store_context: StoreContext) -> None:
    new = store_context.new_job()
    assert new.source.key is not None
    store_context.store.reserve_blob(new.source.key, -1)
    store_context.store.accept(new)
    assert store_context.store.cleanups() == []


def test_a_deleted_job_leaves_its_files_to_the_sweep(
    store_context: StoreContext,
) -> None:
    job_id = store_context.done()
    store_context.store.delete(job_id)
    all_due(store_context)
    assert cleanups(store_context.store) == {
        "deleted": f"deleted:{job_id}",
        "blob": f"blob:in/{job_id}/source",
    }
