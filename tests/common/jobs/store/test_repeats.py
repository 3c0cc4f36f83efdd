"""Blind repeats and races: what a network does to scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

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
from common.jobs.store.connection import open_client
from common.model import Source
from tests.common.jobs.store.lab import (
    BAD,
    IDLE,
    MEDIA,
    Lab,
    an_artifact,
    make_settings,
)

THREADS = 10
Answer = TypeVar("Answer")


class Repeating(JobStore):
    """Sends every script again and sees that nothing changes by it."""

    lab: Lab | None = None
    sent: set[str]

    def _raw(self, script: str, **arguments: Any) -> str:
        first = super()._raw(script, **arguments)
        if self.lab is None:
            return first
        # A chore put off twice is put off from the second time.
        moments = {"leased", "workers", *(["chores"] if script == "cleanups" else [])}
        before = self.lab.snapshot(moments)
        again = super()._raw(script, **arguments)
        assert self.lab.snapshot(moments) == before, f"{script} is not safe to repeat"
        if script == "claim":
            # The notices of a claim are rung by its first answer.
            first, again = (
                json.dumps(json.loads(one) | {"bells": []}) for one in (first, again)
            )
        assert script in {"stats", "workers"} or again == first, script
        self.sent.add(script)
        return again


def whole_life(lab: Lab) -> None:
    """Go through every script, with outcomes good and bad."""
    store = lab.store
    told = [{"id": "s", "type": "webhook", "events": ["*"]}]
    key = Idempotency("k", "print")
    job_id = lab.accept("strip", "poster", idempotency=key, subscriptions=told)
    store.accept(lab.new_job(), key)
    claim = lab.claim(f"{job_id}:prepare")
    store.claim(claim.piece, "other", "w")
    store.release(claim, "refund")
    lab.open(job_id, strip=[1, 2])
    part = lab.claim(f"{job_id}:o:strip:0")
    store.beat(part, 10)
    store.release(part, "retry", error=BAD, delay_seconds=5)
    lab.ripen(part.piece, "delayed")
    lab.reaper_was_here()
    store.reap(100, IDLE)
    lab.make(part.piece)
    lost = lab.claim(f"{job_id}:o:strip:1")
    lab.expire(lost.piece)
    store.reap(100, IDLE)
    store.finish(lost, result=1)
    dying = lab.claim(lost.piece)
    store.died(dying.piece, dying.token)
    lab.make(lost.piece)
    lab.make(f"{job_id}:o:strip")
    running = lab.claim(f"{job_id}:o:poster")
    store.cancel(job_id)
    store.beat(running)
    store.release(running, "cancelled")
    store.retry(job_id)
    lab.make(f"{job_id}:n:1")
    store.redrive(f"{job_id}:n:1")
    lab.ruin(f"{job_id}:o:poster")
    store.redrive(f"{job_id}:o:poster")
    store.notices()
    store.list()
    store.stats()
    store.worker_alive("w", {})
    store.workers()
    store.purge()
    store.reserve_blob("in/x", -1)
    for chore in store.chores():
        store.defer_chore(chore)
        store.finish_chore(chore)
    store.reap(100, IDLE)
    store.delete(job_id)
    life_of_a_batch(lab)
    life_of_twins(lab)
    asked = Repeatable("me", "POST /", "key", "print", "token")
    store.begin_answer(asked)
    store.keep_answer(asked, "answer")


def life_of_a_batch(lab: Lab) -> None:
    """Go through what a batch's piece does, and what is done to it."""
    store = lab.store
    told = [{"id": "s", "type": "webhook", "events": ["*"]}]
    sources = [Source(kind="upload", key=f"in/{n}") for n in range(3)]
    new = NewBatch("b" * 32, "me", sources, None, {}, subscriptions=told)
    store.gather(new, Idempotency("batch", "print"))
    claim = lab.claim(f"{new.id}:batch")
    caps = Caps(owner=1, day=("k", 2))
    jobs = [lab.new_job(owner="me") for _ in sources]
    store.add_child(claim, jobs[0], "0", caps)
    store.add_child(claim, jobs[1], "1", caps)
    store.release(claim, "defer", delay_seconds=60)
    lab.ruin(f"{jobs[0].id}:prepare")
    claim = lab.claim(claim.piece)
    store.add_child(claim, jobs[1], "1", caps)
    store.end_stage(claim, "expand", short=True, warnings=["short"])
    store.retry(jobs[0].id)
    store.cancel_batch(new.id)
    lab.ruin(f"{jobs[0].id}:prepare")
    store.cancel(jobs[1].id)
    store.end_stage(lab.claim(claim.piece), "cancel")
    store.batches("me")
    store.batch_sources(new.id, 0, 10)
    store.children(new.id)
    store.delete_batch(new.id)
    for job in jobs[:2]:
        store.delete(job.id)
    store.end_stage(lab.claim(claim.piece), "delete")


def life_of_twins(lab: Lab) -> None:
    """Have one job wait for another's results, and take them over."""
    store = lab.store
    first, second = lab.accept(), lab.accept()
    store.find_twin(lab.claim(f"{first}:prepare"), "digest")
    claim = lab.claim(f"{second}:prepare")
    store.find_twin(claim, "digest")
    store.release(claim, "defer", delay_seconds=60)
    lab.expire(f"{first}:prepare")
    store.reap(100, IDLE)
    lab.open(first)
    lab.make(f"{first}:o:poster")
    claim = lab.claim(f"{second}:prepare")
    store.find_twin(claim, "digest")
    assert store.recall("nobody", Idempotency("k", "print")) is None
    copied = CopiedOutput("poster", [an_artifact(claim)], ["copied"])
    store.adopt(claim, "digest", claim.source, lab.get(first), [copied])
    store.delete(second)


def test_every_script_bears_a_blind_repeat(make_lab: Callable[..., Lab]) -> None:
    plain = make_lab()
    store = Repeating(plain.store.settings, plain.client)
    store.sent, store.lab = set(), plain
    whole_life(Lab(store, plain.client))
    assert store.sent == set(store._scripts)


@pytest.fixture
def race(valkey_url: str) -> Lab:
    settings = make_settings("race:", valkey_url)
    client = open_client(settings)
    client.flushdb()
    return Lab(JobStore(settings, client), client)


def at_once(call: Callable[[int], Answer]) -> list[Answer]:
    """Call from all threads at the same moment."""
    gate = threading.Barrier(THREADS)

    def run(number: int) -> Answer:
        gate.wait(60)
        return call(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_of_many_claimants_one_gets_the_piece(race: Lab) -> None:
    piece = f"{race.opened()}:o:poster"
    answers = at_once(lambda number: race.store.claim(piece, f"t{number}", "w"))
    assert len([one for one in answers if isinstance(one, Claim)]) == 1
    assert answers.count(Refusal("busy")) == THREADS - 1


def test_one_idempotency_key_makes_one_job(race: Lab) -> None:
    jobs = [race.new_job() for _ in range(THREADS)]
    key = Idempotency("same", "print")
    answers = at_once(lambda number: race.store.accept(jobs[number], key))
    accepted = [one for one in answers if isinstance(one, Accepted)]
    assert len(accepted) == THREADS
    assert len({one.job_id for one in accepted}) == 1
    assert [one.created for one in accepted].count(True) == 1


def test_the_last_of_many_parts_joins_once(race: Lab) -> None:
    job_id = race.accept("strip")
    race.open(job_id, strip=list(range(THREADS)))
    claims = [race.claim(f"{job_id}:o:strip:{k}") for k in range(THREADS)]
    outcomes = at_once(lambda k: race.store.finish(claims[k], result=k))
    bells = [bell.piece for outcome in outcomes for bell in outcome.bells]
    assert bells == [f"{job_id}:o:strip"]


def test_many_ends_of_one_claim_publish_once(race: Lab) -> None:
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


def test_two_prepares_open_a_job_once(race: Lab) -> None:
    job_id = race.accept()
    claim = race.claim(f"{job_id}:prepare")
    openings = {"poster": Opening()}
    outcomes = at_once(lambda _: race.store.open(claim, MEDIA, claim.source, openings))
    assert {outcome.applied for outcome in outcomes} == {True}
    assert race.events(job_id).count("job.probed") == 1
