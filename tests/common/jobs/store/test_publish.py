"""An output whose files go to a destination: rendered, then copied, then succeeded."""

from __future__ import annotations

from typing import Any

import pytest

from common.model import Destination, JobOptions, ObjectName, Queue
from tests.common.jobs.store.context import BAD, IDLE, StoreContext, an_artifact

TO = JobOptions(destination=Destination(bucket="b", prefix="p"))


def rendered(store_context: StoreContext, *names: str, **fields: Any) -> str:
    """Return a job whose only output is rendered, and not copied yet."""
    job_id = store_context.opened(*names, options=TO, **fields)
    for output in store_context.get(job_id).outputs:
        claim = store_context.claim(f"{job_id}:o:{output.name}")
        outcome = store_context.store.finish(claim, [an_artifact(claim)], publish=True)
        assert outcome.applied
        assert not outcome.job_ended
        assert [(message.kind, message.queue) for message in outcome.messages] == [
            ("publish", "fast")
        ]
    return job_id


def test_given_a_rendered_output_then_its_job_goes_on(
    store_context: StoreContext,
) -> None:
    job_id = rendered(store_context)
    assert (store_context.status(job_id), store_context.states(job_id)) == (
        "processing",
        ["running"],
    )
    assert store_context.get(job_id).outputs[0].progress == 99
    last = store_context.store.events(job_id)[-1]
    assert (last.type, last.output) == ("output.publishing", "poster")


def test_given_a_claim_to_publish_then_it_has_what_was_rendered(
    store_context: StoreContext,
) -> None:
    job_id = rendered(store_context)
    claim = store_context.claim(f"{job_id}:o:poster")
    assert (claim.kind, claim.attempt, claim.options) == ("publish", 1, TO)
    assert [one.name for one in claim.artifacts] == ["a.jpg"]


def test_given_the_copies_when_finished_then_the_job_completes(
    store_context: StoreContext,
) -> None:
    job_id = rendered(store_context)
    claim = store_context.claim(f"{job_id}:o:poster")
    place = ObjectName(bucket="b", key="p/poster/a.jpg")
    copied = claim.artifacts[0].model_copy(update={"copy_at": place})
    outcome = store_context.store.finish(claim, [copied])
    assert (outcome.applied, outcome.job_ended) == (True, True)
    assert store_context.status(job_id) == "completed"
    assert store_context.get(job_id).outputs[0].artifacts[0].copy_at == place


def test_given_a_stale_render_then_it_publishes_nothing(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened(options=TO)
    task = f"{job_id}:o:poster"
    stale = store_context.claim(task)
    store_context.reaper_was_here()
    store_context.expire(task)
    store_context.store.reap(10, IDLE)
    newer = store_context.claim(task)
    assert store_context.store.finish(newer, [an_artifact(newer)], publish=True).applied
    assert not store_context.store.finish(
        stale, [an_artifact(stale)], publish=True
    ).applied
    kept = store_context.claim(task).artifacts
    assert [one.key for one in kept] == [an_artifact(newer).key]


def test_given_a_stale_copier_then_it_has_the_files_of_the_newer(
    store_context: StoreContext,
) -> None:
    job_id = rendered(store_context)
    task = f"{job_id}:o:poster"
    stale = store_context.claim(task)
    store_context.reaper_was_here()
    store_context.expire(task)
    store_context.store.reap(10, IDLE)
    newer = store_context.claim(task)
    assert newer.artifacts == stale.artifacts
    assert store_context.store.finish(newer, newer.artifacts).applied
    assert not store_context.store.finish(stale, stale.artifacts).applied


def test_given_a_refused_copy_then_the_output_fails_and_keeps_its_files(
    store_context: StoreContext,
) -> None:
    job_id = rendered(store_context)
    store_context.ruin(f"{job_id}:o:poster")
    output = store_context.get(job_id).outputs[0]
    assert (store_context.status(job_id), output.status, output.error) == (
        "failed",
        "failed",
        BAD,
    )
    assert len(output.artifacts) == 1


@pytest.mark.parametrize("parts", [[], [0, 1]])
def test_given_a_failed_copy_when_retried_then_only_the_copy_is_made_again(
    store_context: StoreContext, parts: list[int]
) -> None:
    job_id = store_context.accept(options=TO)
    store_context.open(job_id, poster=len(parts))
    keys = []
    for part in parts:
        made = store_context.claim(f"{job_id}:o:poster:{part}")
        keys.append(an_artifact(made).key)
        store_context.store.finish(made, [an_artifact(made)])
    claim = store_context.claim(f"{job_id}:o:poster")
    store_context.store.finish(claim, [an_artifact(claim)], publish=True)
    store_context.ruin(f"{job_id}:o:poster")
    messages = store_context.store.retry(job_id).messages
    assert [message.kind for message in messages] == ["publish"]
    again = store_context.claim(f"{job_id}:o:poster")
    assert [one.key for one in again.artifacts] == [*keys, an_artifact(claim).key]
    assert store_context.store.finish(again, again.artifacts).job_ended
    assert store_context.status(job_id) == "completed"


def test_given_a_cancel_before_the_copy_then_the_job_is_cancelled(
    store_context: StoreContext,
) -> None:
    job_id = rendered(store_context)
    store_context.store.cancel(job_id)
    assert store_context.status(job_id) == "cancelled"


def test_given_a_cancel_during_the_copy_then_the_claim_hears_it(
    store_context: StoreContext,
) -> None:
    job_id = rendered(store_context)
    claim = store_context.claim(f"{job_id}:o:poster")
    store_context.store.cancel(job_id)
    assert store_context.store.beat(claim) == "cancel"
    assert not store_context.store.finish(claim, claim.artifacts).applied
    assert store_context.status(job_id) == "cancelled"


def test_given_a_worker_that_dies_then_the_copy_is_sent_for_again(
    store_context: StoreContext,
) -> None:
    job_id = rendered(store_context)
    task = f"{job_id}:o:poster"
    store_context.claim(task)
    messages = store_context.store.died(task).messages
    queue: Queue = "fast"
    assert [(message.task, message.kind, message.queue) for message in messages] == [
        (task, "publish", queue)
    ]


def test_given_two_outputs_then_each_is_copied_by_itself(
    store_context: StoreContext,
) -> None:
    job_id = rendered(store_context, "poster", "card")
    first = store_context.claim(f"{job_id}:o:poster")
    assert not store_context.store.finish(first, first.artifacts).job_ended
    store_context.ruin(f"{job_id}:o:card")
    assert store_context.status(job_id) == "partial"
