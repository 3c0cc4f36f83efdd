"""Blind repeats and races: what a network does to scripts."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from common.access.quota import DailyQuota
from common.jobs.store import (
    Accepted,
    Caps,
    Claim,
    CopiedOutput,
    Idempotency,
    JobStore,
    NewBatch,
    Opening,
    Refusal,
    Repeatable,
)
from common.model import Source
from common.notify.subscriptions import Subscription
from common.redis.client import open_client
from tests.common.jobs.store.context import (
    BAD,
    IDLE,
    MEDIA,
    StoreContext,
    an_artifact,
    make_settings,
    part_files,
)

THREADS = 10
Answer = TypeVar("Answer")


class Repeating(JobStore):
    """Sends every script again and sees that nothing changes by it."""

    context: StoreContext | None = None
    sent: set[str]

    def _raw(self, script: str, **arguments: Any) -> str:
        first = super()._raw(script, **arguments)
        if self.context is None:
            return first
        # A cleanup put off twice is put off from the second time.
        moments = {"leased", "workers", *(["chores"] if script == "cleanups" else [])}
        before = self.context.snapshot(moments)
        again = super()._raw(script, **arguments)
        assert self.context.snapshot(moments) == before, (
            f"{script} is not safe to repeat"
        )
        if script == "claim":
            # The messages of a claim are sent by its first answer.
            first, again = (
                json.dumps(json.loads(one) | {"messages": []}) for one in (first, again)
            )
        assert script in {"stats", "workers", "activity"} or again == first, script
        self.sent.add(script)
        return again


def whole_life(store_context: StoreContext) -> None:
    """Go through every script, with outcomes good and bad."""
    store = store_context.store
    told = [{"id": "s", "type": "webhook", "events": ["*"]}]
    key = Idempotency("k", "print")
    job_id = store_context.accept(
        "strip", "poster", idempotency=key, subscriptions=told
    )
    store.accept(store_context.new_job(), key)
    claim = store_context.claim(f"{job_id}:prepare")
    store.claim(claim.task, "other", "w")
    store.release(claim, "refund")
    store_context.open(job_id, strip=2)
    part = store_context.claim(f"{job_id}:o:strip:0")
    store.beat(part, 10)
    store.release(part, "retry", error=BAD, delay_seconds=5)
    store_context.make_due(part.task, "delayed")
    store_context.reaper_was_here()
    store.reap(100, IDLE)
    store_context.make(part.task)
    lost = store_context.claim(f"{job_id}:o:strip:1")
    store_context.expire(lost.task)
    store.reap(100, IDLE)
    store.finish(lost, result=1)
    dying = store_context.claim(lost.task)
    store.died(dying.task, dying.token)
    store_context.make(lost.task)
    store_context.make(f"{job_id}:o:strip")
    running = store_context.claim(f"{job_id}:o:poster")
    store.cancel(job_id)
    store.beat(running)
    store.release(running, "cancelled")
    store.retry(job_id)
    store_context.make(f"{job_id}:n:1")
    store.redrive(f"{job_id}:n:1")
    store_context.ruin(f"{job_id}:o:poster")
    store.redrive(f"{job_id}:o:poster")
    look_around(store)
    store.purge()
    store.reserve_blob("in/x", -1)
    for cleanup in store.cleanups():
        store.defer_cleanup(cleanup)
        store.finish_cleanup(cleanup)
    store.reap(100, IDLE)
    store.delete(job_id)
    life_of_manifests(store_context)
    life_of_a_batch(store_context)
    life_of_duplicates(store_context)
    requested = Repeatable("me", "POST /", "key", "print", "token")
    store.begin_answer(requested)
    store.keep_answer(requested, "answer")


def life_of_manifests(store_context: StoreContext) -> None:
    """Store manifests, and restore an ended job and a batch under other ids."""
    store = store_context.store
    job_id = store_context.done()
    record = store_context.get(job_id)
    store.finish_manifests(store.take_manifests(100))
    assert store.restore(store_context.new_job(), record, again=False).state == "ended"
    assert store.restore(store_context.new_job(), record, again=True).state == "queued"
    store.delete(job_id)
    store.accept_batch(NewBatch("d" * 32, "me", [record.source], None, {}))
    batch = store.export_batch("d" * 32)
    assert batch is not None
    other = batch.model_copy(update={"id": "e" * 32})
    assert store.restore_batch(other) == "restored"
    store.resume_batch(other.id)


def look_around(store: JobStore) -> None:
    """Read what callers and operators look at."""
    store.deliveries()
    store.list()
    store.worker_alive("w", {})
    store.workers()
    store.stats()
    store.activity()


def life_of_a_batch(store_context: StoreContext) -> None:
    """Go through what a batch's task does, and what is done to it."""
    store = store_context.store
    hooks = [Subscription(id="s", events=["*"])]
    sources = [Source(kind="upload", key=f"in/{n}") for n in range(3)]
    new = NewBatch("b" * 32, "me", sources, None, {}, subscriptions=hooks)
    store.accept_batch(new, Idempotency("batch", "print"))
    claim = store_context.claim(f"{new.id}:batch")
    caps = Caps(owner=1, quota=DailyQuota("k", 2))
    jobs = [store_context.new_job(owner="me") for _ in sources]
    store.add_child(claim, jobs[0], "0", caps)
    store.add_child(claim, jobs[1], "1", caps)
    store.release(claim, "defer", delay_seconds=60)
    store_context.ruin(f"{jobs[0].id}:prepare")
    claim = store_context.claim(claim.task)
    store.add_child(claim, jobs[1], "1", caps)
    store.end_stage(claim, "expand", short=True, warnings=["short"])
    store.retry(jobs[0].id)
    store_context.ruin(f"{jobs[0].id}:prepare")
    store.cancel_batch(new.id)
    store.cancel(jobs[1].id)
    store.end_stage(store_context.claim(claim.task), "cancel")
    store.batches("me")
    store.batch_sources(new.id, 0, 10)
    store.children(new.id)
    store.search("me", "clip", batch=new.id)
    store.delete_batch(new.id)
    for job in jobs[:2]:
        store.delete(job.id)
    store.end_stage(store_context.claim(claim.task), "delete")


def life_of_lines(store_context: StoreContext) -> None:
    """Have messages claim what is in line until nothing is."""
    named = f"{store_context.accept()}:prepare"
    tokens = map(str, itertools.count())
    while isinstance(
        store_context.store.claim(named, next(tokens), "w", "fast"), Claim
    ):
        pass


def life_of_duplicates(store_context: StoreContext) -> None:
    """Have one job wait for another's results, and take them over."""
    store = store_context.store
    first, second = store_context.accept(), store_context.accept()
    store.find_duplicate(store_context.claim(f"{first}:prepare"), "digest")
    claim = store_context.claim(f"{second}:prepare")
    store.find_duplicate(claim, "digest")
    store.release(claim, "defer", delay_seconds=60)
    store_context.expire(f"{first}:prepare")
    store.reap(100, IDLE)
    store_context.open(first)
    store_context.make(f"{first}:o:poster")
    claim = store_context.claim(f"{second}:prepare")
    store.find_duplicate(claim, "digest")
    assert store.recall("nobody", Idempotency("k", "print")) is None
    copied = CopiedOutput("poster", [an_artifact(claim)], ["copied"])
    store.copy_from_duplicate(
        claim, "digest", claim.source, store_context.get(first), [copied]
    )
    store.delete(second)
    life_of_lines(store_context)


def test_every_script_bears_a_blind_repeat(
    make_store_context: Callable[..., StoreContext],
) -> None:
    plain = make_store_context()
    store = Repeating(plain.store.settings, plain.client)
    store.sent, store.context = set(), plain
    whole_life(StoreContext(store, plain.client))
    assert store.sent == set(store._scripts)


@pytest.fixture
def race(valkey_url: str) -> StoreContext:
    settings = make_settings("race:", valkey_url)
    client = open_client(settings)
    client.flushdb()
    return StoreContext(JobStore(settings, client), client)


def at_once(call: Callable[[int], Answer]) -> list[Answer]:
    """Call from all threads at the same moment."""
    gate = threading.Barrier(THREADS)

    def run(number: int) -> Answer:
        gate.wait(60)
        return call(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_of_many_claimants_one_gets_the_task(race: StoreContext) -> None:
    task = f"{race.opened()}:o:poster"
    answers = at_once(lambda number: race.store.claim(task, f"t{number}", "w"))
    assert len([one for one in answers if isinstance(one, Claim)]) == 1
    assert answers.count(Refusal("busy")) == THREADS - 1


def test_one_idempotency_key_makes_one_job(race: StoreContext) -> None:
    jobs = [race.new_job() for _ in range(THREADS)]
    key = Idempotency("same", "print")
    answers = at_once(lambda number: race.store.accept(jobs[number], key))
    accepted = [one for one in answers if isinstance(one, Accepted)]
    assert len(accepted) == THREADS
    assert len({one.job_id for one in accepted}) == 1
    assert [one.created for one in accepted].count(True) == 1


def test_the_last_of_many_parts_joins_once(race: StoreContext) -> None:
    job_id = race.accept("strip")
    race.open(job_id, strip=THREADS)
    claims = [race.claim(f"{job_id}:o:strip:{k}") for k in range(THREADS)]
    outcomes = at_once(
        lambda k: race.store.finish(claims[k], result=part_files(str(k)))
    )
    messages = [message.task for outcome in outcomes for message in outcome.messages]
    assert messages == [f"{job_id}:o:strip"]


def test_many_ends_of_one_claim_publish_once(race: StoreContext) -> None:
    job_id = race.opened()
    claim = race.claim(f"{job_id}:o:poster")
    at_once(
        lambda number: (
            race.store.finish(claim, [an_artifact(claim)])
            if number % 2
            else race.store.release(claim, "retry", error=BAD)
        )
    )
    events = race.events(job_id)
    assert events.count("output.succeeded") + events.count("output.requeued") == 1


def test_two_prepares_open_a_job_once(race: StoreContext) -> None:
    job_id = race.accept()
    claim = race.claim(f"{job_id}:prepare")
    openings = {"poster": Opening()}
    outcomes = at_once(lambda _: race.store.open(claim, MEDIA, claim.source, openings))
    assert {outcome.applied for outcome in outcomes} == {True}
    assert race.events(job_id).count("job.probed") == 1
