"""Any order of events leaves the store consistent, and every job can be ended."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fakeredis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Values
from hypothesis.stateful import (
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from common.errors import Conflict
from common.jobs.store import Claim, JobStore, JobVersion, Opening, Refusal
from common.model import JOB_ENDED, JobRecord
from common.redis.client import open_client
from tests.common.jobs.store.context import (
    BAD,
    IDLE,
    MEDIA,
    StoreContext,
    TwiceStore,
    an_artifact,
    make_settings,
    part_specs,
)

_NUMBERS = itertools.count(1)
ENDED = {"succeeded", "failed", "cancelled"}
STEPS = 30
TIMES = int(os.environ.get("FRAMEMILL_TEST_TIMES", "1"))
EXAMPLES = {"valkey": 8, "fake-twice": 3}


def derived(states: list[str]) -> str | None:
    """Return the status of a job with these outputs, None while it has not ended."""
    seen = set(states)
    if not seen <= ENDED:
        return None
    if seen == {"succeeded"}:
        return "completed"
    if "succeeded" in seen:
        return "partial"
    return "failed" if "failed" in seen else "cancelled"


class Life(RuleBasedStateMachine):
    """Jobs, workers that come and go, and a user who changes his mind."""

    make_store_context: Any = None
    examples = 1
    jobs: Values[str] = Values("jobs")
    claims: Values[Claim] = Values("claims")

    def __init__(self) -> None:
        super().__init__()
        self.context: StoreContext = self.make_store_context()
        self.handed: list[Claim] = []
        self.known: list[str] = []
        self.shown: dict[tuple[str, int], JobRecord] = {}

    @rule(target=jobs, names=st.sampled_from([("a",), ("a", "b")]))
    def accept(self, names: tuple[str, ...]) -> str:
        told = [{"id": "s", "type": "webhook", "events": ["job.completed"]}]
        job_id = self.context.accept(*names, subscriptions=told)
        self.known.append(job_id)
        return job_id

    @rule(
        target=claims,
        job_id=jobs,
        task=st.sampled_from(["prepare", "o:a", "o:b", "o:a:0", "o:a:1", "n:1"]),
        queue=st.sampled_from([None, "fast"]),
    )
    def claim(self, job_id: str, task: str, queue: str | None = None) -> Any:
        token = f"token{next(_NUMBERS)}"
        claim = self.context.store.claim(f"{job_id}:{task}", token, "w", queue)
        if isinstance(claim, Refusal):
            return multiple()
        earlier = [one for one in self.handed if one.job_id == claim.job_id]
        if claim.kind == "notice":
            earlier = [one for one in earlier if one.task == claim.task]
        else:
            earlier = [one for one in earlier if one.kind != "notice"]
        assert all(claim.fence > one.fence for one in earlier)
        self.handed.append(claim)
        return claim

    @rule(claim=consumes(claims), parts=st.sampled_from([0, 2]))
    def end_well(self, claim: Claim, parts: int) -> None:
        before = self.context.store.get(claim.job_id)
        if claim.kind == "prepare":
            openings = {"a": Opening(parts=part_specs(parts)), "b": Opening()}
            outcome = self.context.store.open(claim, MEDIA, claim.source, openings)
        else:
            outcome = self.context.store.finish(claim, [an_artifact(claim)], result=[])
        self.ended_once(claim, before, ended=outcome.job_ended)

    @rule(
        claim=consumes(claims),
        how=st.sampled_from(["refund", "retry", "fatal", "cancelled"]),
        delay=st.sampled_from([0, 60]),
    )
    def end_badly(self, claim: Claim, how: Any, delay: float) -> None:
        before = self.context.store.get(claim.job_id)
        outcome = self.context.store.release(claim, how, error=BAD, delay_seconds=delay)
        self.ended_once(claim, before, ended=outcome.job_ended)

    def ended_once(self, claim: Claim, before: Any, *, ended: bool) -> None:
        if before is not None:
            was, now = before.status, self.context.status(claim.job_id)
            assert ended == (was not in JOB_ENDED and now in JOB_ENDED)

    @rule(claim=claims, progress=st.integers(0, 100))
    def beat(self, claim: Claim, progress: int) -> None:
        self.context.store.beat(claim, progress)

    @rule(claim=claims)
    def die(self, claim: Claim) -> None:
        self.context.store.died(claim.task, claim.token)

    @rule(claim=claims)
    def vanish(self, claim: Claim) -> None:
        leased = self.context.key("leased")
        self.context.client.zadd(leased, {claim.task: 1}, xx=True)

    @rule(backlog=st.sampled_from([None, IDLE, {"fast": 1, "slow": 0}]))
    def reap(self, backlog: dict[str, int] | None) -> None:
        self.context.reaper_was_here()
        for name in ("delayed", "pending:fast"):
            for task in self.context.client.zrange(self.context.key(name), 0, -1):
                self.context.make_due(str(task), name)
        self.context.store.reap(100, backlog)

    @rule(job_id=jobs, verb=st.sampled_from(["cancel", "retry"]))
    def change_of_mind(self, job_id: str, verb: str) -> None:
        states = self.context.states(job_id)
        try:
            getattr(self.context.store, verb)(job_id)
        except Conflict:
            nothing = {"queued", "running", "succeeded"}
            assert set(states) <= (nothing if verb == "retry" else ENDED)

    @rule(job_id=consumes(jobs))
    def delete(self, job_id: str) -> None:
        self.context.store.delete(job_id)
        self.known.remove(job_id)

    @invariant()
    def one_claim_lives(self) -> None:
        living = Counter(
            claim.task
            for claim in self.handed
            if self.context.store.beat(claim) != "lost"
        )
        assert all(count == 1 for count in living.values())

    @invariant()
    def every_output_succeeds_at_most_once(self) -> None:
        for job_id in self.known:
            told = Counter(
                (event.type, event.output)
                for event in self.context.store.events(job_id, limit=1000)
            )
            for output in self.context.get(job_id).outputs:
                succeeded = told["output.succeeded", output.name]
                assert succeeded == (output.status == "succeeded")

    @invariant()
    def jobs_are_what_their_outputs_make_them(self) -> None:
        for job_id in self.known:
            job = self.context.get(job_id)
            ended = derived([output.status for output in job.outputs])
            if ended is None:
                assert job.status in {"accepted", "processing"}
            else:
                assert job.status == ended
            key = self.context.key(f"job:{job_id}")
            assert (self.context.client.ttl(key) >= 0) == (ended is not None)

    @invariant()
    def a_record_that_changed_has_another_version(self) -> None:
        for job_id in self.known:
            job = self.context.get(job_id)
            assert self.shown.setdefault((job_id, job.version), job) == job
            kept = self.context.store.version(job_id)
            assert kept == JobVersion(job_id, job.owner, job.status, job.version)

    @invariant()
    def indexes_hold_what_records_say(self) -> None:
        found = self.context.snapshot()

        def members(*names: str) -> list[str]:
            return sorted(
                str(one) for name in names for one, _ in found.get(name, ([], 0))[0]
            )

        states = {
            name.removeprefix("piece:"): fields["state"]
            for name, (fields, _) in found.items()
            if name.startswith("piece:")
        }
        queued = sorted(task for task, state in states.items() if state == "queued")
        running = sorted(task for task, state in states.items() if state == "running")
        assert members("queued:fast") == queued
        assert members("pending:fast", "delayed") == queued
        assert members("queued:fast:") == members("pending:fast")
        assert members("leased") == running
        for status in ("any", *JOB_ENDED, "accepted", "processing"):
            jobs = [
                job_id
                for job_id in self.known
                if status in {"any", found[f"job:{job_id}"][0]["status"]}
            ]
            assert [one[13:] for one in members(f"jobs:{status}")] == sorted(jobs)

    def teardown(self) -> None:
        """Whatever came before, willing workers bring every job to its end."""
        for _ in range(60):
            for claim in self.handed:
                self.vanish(claim)
            self.reap(IDLE)
            queued = self.context.client.zrange(self.context.key("queued:fast"), 0, -1)
            if not queued:
                break
            for task in queued:
                claim = self.claim(*str(task).split(":", 1))
                if isinstance(claim, Claim):
                    self.end_well(claim, 2)
        for job_id in self.known:
            assert self.context.status(job_id) in JOB_ENDED


@contextmanager
def on_server(
    machine: type[Life], server: str, prefix: str, url: str
) -> Iterator[type[Life]]:
    """Yield a machine with its stores: on a real server, or twice on a fake one."""
    client = open_client(make_settings(f"{prefix}:", url))

    def on_valkey() -> StoreContext:
        client.flushdb()
        chosen = make_settings(f"{prefix}{next(_NUMBERS)}:", url)
        return StoreContext(JobStore(chosen, client), client)

    def on_fake() -> StoreContext:
        fake = fakeredis.FakeRedis(decode_responses=True)
        return StoreContext(TwiceStore(make_settings(f"{prefix}:"), fake), fake)

    make = on_valkey if server == "valkey" else on_fake
    chosen = {"make_store_context": staticmethod(make), "examples": EXAMPLES[server]}
    yield type(f"{machine.__name__}Here", (machine,), chosen)
    client.close()


def run_machine(machine: type[Life]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=machine.examples * TIMES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(params=EXAMPLES)
def life(request: pytest.FixtureRequest, valkey_url: str) -> Iterator[type[Life]]:
    with on_server(Life, request.param, "m", valkey_url) as machine:
        yield machine


def test_any_order_of_events_keeps_the_store_whole(life: type[Life]) -> None:
    run_machine(life)
