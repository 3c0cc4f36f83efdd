"""Duplicates: jobs with the same bytes and specs, of which one makes the results."""

from __future__ import annotations

import pytest

from common.jobs.store import Claim, CopiedOutput, Duplicate, Outcome
from common.model import Destination, JobOptions
from tests.common.jobs.store.context import MEDIA, StoreContext, an_artifact

DIGEST = "d" * 64


def ask(store_context: StoreContext, job_id: str, **more: object) -> Duplicate:
    claim = store_context.claim(f"{job_id}:prepare")
    return store_context.store.find_duplicate(claim, DIGEST, **more)  # type: ignore[arg-type]


def made(store_context: StoreContext) -> str:
    """Return a job that holds the digest and is completed."""
    job_id = store_context.accept()
    claim = store_context.claim(f"{job_id}:prepare")
    assert store_context.store.find_duplicate(claim, DIGEST).what == "run"
    store_context.store.release(claim, "refund")
    store_context.open(job_id)
    store_context.make(f"{job_id}:o:poster")
    return job_id


def copy_from_duplicate(
    store_context: StoreContext, claim: Claim, duplicate: str
) -> Outcome:
    copied = CopiedOutput("poster", [an_artifact(claim)], ["careful"])
    return store_context.store.copy_from_duplicate(
        claim, DIGEST, claim.source, store_context.get(duplicate), [copied]
    )


def test_the_first_to_ask_makes_the_results(store_context: StoreContext) -> None:
    assert ask(store_context, store_context.accept()) == Duplicate("run")


def test_who_asks_again_is_still_the_first(store_context: StoreContext) -> None:
    job_id = store_context.accept()
    claim = store_context.claim(f"{job_id}:prepare")
    assert store_context.store.find_duplicate(claim, DIGEST) == Duplicate("run")
    assert store_context.store.find_duplicate(claim, DIGEST) == Duplicate("run")


def test_the_second_waits_for_the_first(store_context: StoreContext) -> None:
    first, second = store_context.accept(), store_context.accept()
    ask(store_context, first)
    assert ask(store_context, second) == Duplicate("wait", first)


def test_who_may_not_wait_runs_and_leaves_the_first_its_place(
    store_context: StoreContext,
) -> None:
    first, second, third = (
        store_context.accept(),
        store_context.accept(),
        store_context.accept(),
    )
    ask(store_context, first)
    assert ask(store_context, second, wait=False) == Duplicate("run")
    assert ask(store_context, third) == Duplicate("wait", first)


def test_results_of_a_completed_job_may_be_copied(store_context: StoreContext) -> None:
    first = made(store_context)
    assert ask(store_context, store_context.accept()) == Duplicate("copy", first)


def test_a_duplicate_whose_files_are_gone_is_passed_over(
    store_context: StoreContext,
) -> None:
    first, second = made(store_context), store_context.accept()
    assert ask(store_context, second, lost=first) == Duplicate("run")


@pytest.mark.parametrize("end", ["fail", "cancel", "delete"])
def test_a_first_without_results_gives_its_place_to_who_waits(
    store_context: StoreContext, end: str
) -> None:
    first, second = store_context.accept(), store_context.accept()
    held = store_context.claim(f"{first}:prepare")
    store_context.store.find_duplicate(held, DIGEST)
    claim = store_context.claim(f"{second}:prepare")
    store_context.store.find_duplicate(claim, DIGEST)
    store_context.store.release(claim, "defer", delay_seconds=60)
    if end == "fail":
        messages = store_context.store.release(held, "fatal").messages
    else:
        messages = getattr(store_context.store, end)(first).messages
    assert [message.task for message in messages] == [claim.task]
    assert ask(store_context, second) == Duplicate("run")


def test_what_is_known_goes_with_the_record(store_context: StoreContext) -> None:
    made(store_context)
    assert store_context.client.ttl(store_context.key(f"same:{DIGEST}")) > 0


def test_copies_end_the_job(store_context: StoreContext) -> None:
    first, second = made(store_context), store_context.accept()
    claim = store_context.claim(f"{second}:prepare")
    outcome = copy_from_duplicate(store_context, claim, first)
    job = store_context.get(second)
    assert (outcome.applied, outcome.job_ended) == (True, True)
    assert (job.status, job.deduplicated_from) == ("completed", first)
    assert job.media == MEDIA
    assert job.outputs[0].artifacts == [an_artifact(claim)]
    assert job.outputs[0].warnings == ["careful"]


def test_a_stale_claim_adopts_nothing(store_context: StoreContext) -> None:
    first, second = made(store_context), store_context.accept()
    stale = store_context.claim(f"{second}:prepare")
    store_context.store.died(stale.task, stale.token)
    store_context.claim(f"{second}:prepare")
    assert not copy_from_duplicate(store_context, stale, first).applied
    assert store_context.status(second) == "processing"
    assert store_context.store.find_duplicate(stale, DIGEST).what == "lost"


def test_a_job_that_is_to_be_cancelled_adopts_nothing(
    store_context: StoreContext,
) -> None:
    first, second = made(store_context), store_context.accept()
    claim = store_context.claim(f"{second}:prepare")
    store_context.store.cancel(second)
    assert not copy_from_duplicate(store_context, claim, first).applied
    assert store_context.status(second) == "cancelled"


def test_with_a_destination_copies_go_on_to_it(store_context: StoreContext) -> None:
    first = made(store_context)
    second = store_context.accept(
        options=JobOptions(destination=Destination(bucket="theirs"))
    )
    claim = store_context.claim(f"{second}:prepare")
    (message,) = copy_from_duplicate(store_context, claim, first).messages
    assert (message.task, message.kind) == (f"{second}:o:poster", "publish")
    assert store_context.states(second) == ["running"]
    store_context.make(message.task)
    assert store_context.status(second) == "completed"
