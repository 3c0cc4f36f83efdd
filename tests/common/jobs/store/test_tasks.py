"""Tasks: claimed, kept alive, joined from parts, ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.errors import InternalError
from common.jobs.store import Claim, NewOutput, Opening, Outcome, Refusal
from common.model import AttemptReport, ErrorInfo, JobOptions
from common.settings.sections import Lease
from tests.common.jobs.store.context import (
    BAD,
    MEDIA,
    StoreContext,
    an_artifact,
    part_files,
    part_specs,
)

STALE = Outcome(applied=False, job_ended=False, messages=[])


def test_a_claim_holds_all_that_the_work_needs(store_context: StoreContext) -> None:
    job_id = store_context.opened("poster", options=JobOptions(max_bytes=1))
    claim = store_context.claim(f"{job_id}:o:poster")
    assert (claim.kind, claim.output, claim.part, claim.queue) == (
        "render",
        "poster",
        None,
        "fast",
    )
    assert claim.spec == {"kind": "thumbnail"}
    assert (claim.media, claim.options) == (MEDIA, JobOptions(max_bytes=1))
    assert (claim.attempt, claim.lost, claim.deaths) == (1, 0, 0)
    assert (claim.worker, claim.parts, claim.delivery) == ("host:1", [], None)


def test_the_same_token_gets_the_same_claim(store_context: StoreContext) -> None:
    job_id = store_context.opened()
    first = store_context.claim(f"{job_id}:o:poster", "mine")
    assert store_context.claim(f"{job_id}:o:poster", "mine") == first
    assert store_context.get(job_id).version == store_context.get(job_id).version


def test_another_token_is_refused_while_the_lease_lives(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    store_context.claim(f"{job_id}:o:poster")
    assert store_context.store.claim(f"{job_id}:o:poster", "x", "w") == Refusal("busy")


def test_outputs_wait_for_prepare(store_context: StoreContext) -> None:
    job_id = store_context.accept()
    assert store_context.store.claim(f"{job_id}:o:poster", "x", "w") == Refusal(
        "waiting"
    )


def test_an_unknown_task_is_gone(store_context: StoreContext) -> None:
    assert store_context.store.claim("f" * 32 + ":prepare", "x", "w") == Refusal("gone")


def test_a_finished_task_is_done(store_context: StoreContext) -> None:
    job_id = store_context.done()
    assert store_context.store.claim(f"{job_id}:o:poster", "x", "w") == Refusal("done")


def test_finish_publishes_the_artifacts_once(store_context: StoreContext) -> None:
    job_id = store_context.opened()
    claim = store_context.claim(f"{job_id}:o:poster")
    report = AttemptReport(attempt=1, rung="best", seconds=0.5)
    kept = an_artifact(claim)

    outcome = store_context.store.finish(
        claim, [kept], warnings=["w"], reports=[report]
    )
    again = store_context.store.finish(claim, [an_artifact(claim, "other.jpg")])

    assert outcome == Outcome(applied=True, job_ended=True, messages=[])
    assert again.applied
    output = store_context.get(job_id).outputs[0]
    assert (output.status, output.progress) == ("succeeded", 100)
    assert (output.artifacts, output.warnings) == ([kept], ["w"])
    assert output.attempts == [report]
    assert store_context.events(job_id).count("output.succeeded") == 1


def test_a_stale_fence_publishes_nothing(store_context: StoreContext) -> None:
    job_id = store_context.opened()
    old = store_context.claim(f"{job_id}:o:poster")
    store_context.reaper_was_here()
    store_context.expire(old.task)
    store_context.store.reap()
    new = store_context.claim(f"{job_id}:o:poster")

    assert store_context.store.beat(old) == "lost"
    assert store_context.store.finish(old, [an_artifact(old)]) == STALE
    assert store_context.store.release(old, "fatal", error=BAD) == STALE
    assert new.fence > old.fence
    assert store_context.store.finish(new, [an_artifact(new)]).applied
    assert store_context.get(job_id).outputs[0].artifacts[0].key.split("/")[-2] == str(
        new.fence
    )
    assert store_context.store.stats().counters["refused"] == 2


def test_a_beat_shows_progress_and_keeps_the_lease(store_context: StoreContext) -> None:
    job_id = store_context.opened("one", "two")
    claim = store_context.claim(f"{job_id}:o:one")
    store_context.expire(claim.task)
    assert store_context.store.beat(claim, 40.0) == "ok"
    job = store_context.get(job_id)
    assert (job.progress, job.outputs[0].progress) == (20, 40)
    store_context.reaper_was_here()
    assert store_context.store.reap().expired == 0


def test_a_failed_attempt_is_tried_again_until_the_limit(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(lease=Lease(max_attempts=2))
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    first = store_context.store.release(store_context.claim(task), "retry", error=BAD)
    assert [message.task for message in first.messages] == [task]
    assert store_context.status(job_id) == "processing"

    second = store_context.claim(task)
    assert second.attempt == 2
    assert store_context.store.release(second, "retry", error=BAD).job_ended
    assert store_context.get(job_id).outputs[0].error == BAD
    assert [dead.task for dead in store_context.store.dead()] == [task]


def test_a_delayed_retry_is_early_until_its_time(store_context: StoreContext) -> None:
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    outcome = store_context.store.release(
        store_context.claim(task), "retry", error=BAD, delay_seconds=60
    )
    assert outcome.messages == []
    assert store_context.store.claim(task, "x", "w") == Refusal("early")
    store_context.make_due(task, "delayed")
    assert store_context.claim(task).attempt == 2


def test_a_refund_costs_no_attempt(store_context: StoreContext) -> None:
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    first = store_context.claim(task)
    store_context.store.release(first, "refund")
    second = store_context.claim(task)
    assert (second.attempt, second.fence > first.fence) == (1, True)


def test_refunds_are_capped(make_store_context: Callable[..., StoreContext]) -> None:
    store_context = make_store_context(lease=Lease(max_refunds=2, max_attempts=2))
    task = f"{store_context.opened()}:o:poster"
    attempts = []
    for _ in range(4):
        claim = store_context.claim(task)
        attempts.append(claim.attempt)
        store_context.store.release(claim, "refund")
    assert attempts == [1, 1, 1, 2]
    assert [dead.error.code for dead in store_context.store.dead()] == ["worker_lost"]


def test_a_fatal_error_is_tried_once_and_is_not_dead(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    assert store_context.ruin(f"{job_id}:o:poster").job_ended
    assert store_context.status(job_id) == "failed"
    assert store_context.store.dead() == []


def test_deaths_are_counted_apart_from_attempts(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(lease=Lease(max_deaths=3, max_attempts=1))
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    for deaths in range(3):
        claim = store_context.claim(task)
        assert (claim.attempt, claim.deaths) == (1, deaths)
        assert store_context.store.died(task, claim.token).applied
    output = store_context.get(job_id).outputs[0]
    assert output.status == "failed"
    assert output.error is not None
    assert output.error.code == "worker_lost"
    told = [report.error.detail for report in output.attempts if report.error]
    assert [f"{n} of at most 3 times" in one for n, one in enumerate(told, 1)] == [
        True,
        True,
        True,
    ]
    assert [report.rung for report in output.attempts] == ["deaths"] * 3
    assert output.attempts[0].worker == "host:1"


def test_a_death_leaves_the_claim_of_another_alone(store_context: StoreContext) -> None:
    task = f"{store_context.opened()}:o:poster"
    claim = store_context.claim(task, "task-2:x")
    assert store_context.store.died(task, "task-1:") == STALE
    assert store_context.store.beat(claim) == "ok"
    assert store_context.store.died(task, "task-2:").applied
    assert store_context.store.beat(claim) == "lost"


def test_lowered_limits_end_a_task_at_its_next_claim(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(lease=Lease(max_attempts=1))
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    store_context.client.hset(store_context.key(f"piece:{task}"), "attempt", 1)
    assert store_context.store.claim(task, "x", "w") == Refusal("exhausted")
    assert store_context.store.claim(task, "x", "w") == Refusal("exhausted")
    assert store_context.store.claim(task, "y", "w") == Refusal("done")
    assert store_context.status(job_id) == "failed"


def test_an_output_is_joined_when_its_last_part_is_done(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("strip")
    outcome = store_context.open(job_id, strip=2)
    parts = [f"{job_id}:o:strip:{k}" for k in (0, 1)]
    assert [message.task for message in outcome.messages] == parts
    assert store_context.store.claim(f"{job_id}:o:strip", "x", "w") == Refusal(
        "waiting"
    )

    second = store_context.claim(parts[1])
    assert (second.part, second.output) == (1, "strip")
    begun = store_context.store.events(job_id)[-1]
    assert (begun.type, begun.data) == ("output.running", {"parts": 2})
    assert second.part_spec == part_specs(2)[1]
    assert second.spec == {"kind": "thumbnail"}
    ended = store_context.store.finish(
        second, result=part_files("b", "c"), warnings=["w"]
    )
    assert ended.messages == []
    assert store_context.states(job_id) == ["running"]
    assert store_context.get(job_id).outputs[0].progress == 50
    first = store_context.store.finish(
        store_context.claim(parts[0]), result=part_files("a")
    )
    assert [message.task for message in first.messages] == [f"{job_id}:o:strip"]

    joining = store_context.claim(f"{job_id}:o:strip")
    assert [[file.name for file in files] for files in joining.parts] == [
        ["a"],
        ["b", "c"],
    ]
    assert (joining.part, joining.part_spec) == (None, None)
    assert store_context.states(job_id) == ["running"]
    assert store_context.store.finish(joining, [an_artifact(joining)]).job_ended
    output = store_context.get(job_id).outputs[0]
    assert (output.status, output.progress, output.warnings) == (
        "succeeded",
        100,
        ["w"],
    )


def joined(
    store_context: StoreContext, job_id: str, *named: str, publish: bool = False
) -> Outcome:
    """Make two parts with a file each, and join them by an index."""
    store_context.open(job_id, strip=2)
    for number in (1, 0):
        part = store_context.claim(f"{job_id}:o:strip:{number}")
        store_context.store.finish(
            part, [an_artifact(part, f"{number}.gif")], result=[]
        )
    joining = store_context.claim(f"{job_id}:o:strip")
    index = an_artifact(joining, "index.json").model_copy(update={"names": [*named]})
    return store_context.store.finish(joining, [index], publish=publish)


def test_a_joined_output_has_the_files_of_its_parts_in_their_order(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("strip")
    assert joined(store_context, job_id, "0.gif", "1.gif").job_ended
    artifacts = store_context.get(job_id).outputs[0].artifacts
    assert [one.name for one in artifacts] == ["0.gif", "1.gif", "index.json"]
    fences = [int(one.key.split("/")[3]) for one in artifacts]
    assert fences[2] > fences[0] > fences[1]


def test_a_joined_output_is_copied_with_the_files_of_its_parts(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("strip")
    joined(store_context, job_id, "0.gif", publish=True)
    claim = store_context.claim(f"{job_id}:o:strip")
    assert claim.kind == "publish"
    names = ["0.gif", "1.gif", "index.json"]
    assert [one.name for one in claim.artifacts] == names
    with pytest.raises(InternalError, match=r"0\.gif"):
        store_context.store.finish(claim, claim.artifacts[1:])
    assert store_context.status(job_id) == "processing"
    store_context.store.release(claim, "retry", error=BAD)
    claim = store_context.claim(f"{job_id}:o:strip")
    assert store_context.store.finish(claim, claim.artifacts).job_ended
    assert [one.name for one in store_context.get(job_id).outputs[0].artifacts] == names


def test_an_index_that_names_no_file_of_ours_ends_no_output(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("strip")
    with pytest.raises(InternalError, match=r"2\.gif"):
        joined(store_context, job_id, "0.gif", "2.gif")
    (output,) = store_context.get(job_id).outputs
    assert (output.status, output.artifacts) == ("running", [])

    # The claim still holds: the attempt ends as any that met a defect.
    task = store_context.client.hgetall(store_context.key(f"piece:{job_id}:o:strip"))
    assert task["state"] == "running"


def test_a_part_that_is_made_again_has_the_files_of_the_later_one(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("strip")
    store_context.open(job_id, strip=1)
    lost = store_context.claim(f"{job_id}:o:strip:0")
    store_context.reaper_was_here()
    store_context.expire(lost.task)
    store_context.store.reap()
    again = store_context.claim(f"{job_id}:o:strip:0")
    assert store_context.store.finish(lost, [an_artifact(lost)]) == STALE
    assert store_context.store.finish(again, [an_artifact(again)]).applied
    store_context.make(f"{job_id}:o:strip")
    first = store_context.get(job_id).outputs[0].artifacts[0]
    assert first.key == an_artifact(again).key


def test_fences_of_parts_never_meet(store_context: StoreContext) -> None:
    job_id = store_context.accept("strip", "other")
    store_context.open(job_id, strip=3)
    tasks = [f"{job_id}:o:strip:{k}" for k in range(3)] + [f"{job_id}:o:other"]
    fences = [store_context.claim(task).fence for task in tasks]
    assert len(set(fences)) == 4


def test_an_output_with_parts_is_queued_until_one_is_claimed(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("strip")
    store_context.open(job_id, strip=2)
    assert store_context.states(job_id) == ["queued"]
    store_context.claim(f"{job_id}:o:strip:0")
    assert store_context.states(job_id) == ["running"]


def test_a_part_that_fails_ends_its_output_and_stops_the_others(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("strip")
    store_context.open(job_id, strip=3)
    running = store_context.claim(f"{job_id}:o:strip:0")

    outcome = store_context.ruin(f"{job_id}:o:strip:1")

    assert outcome.job_ended
    assert store_context.get(job_id).outputs[0].error == BAD
    assert store_context.store.beat(running) == "cancel"
    assert store_context.store.claim(f"{job_id}:o:strip:2", "x", "w") == Refusal("done")
    assert store_context.store.release(running, "cancelled").applied
    assert store_context.states(job_id) == ["failed"]


STALLED = ErrorInfo(code="timeout", title="Timeout", detail="no progress")
HUNGRY = ErrorInfo(code="resource_limit", title="Limit", detail="too much")


def test_a_part_that_stalls_is_borne_once_and_its_output_joined(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("strip")
    store_context.open(job_id, strip=3)
    tasks = [f"{job_id}:o:strip:{k}" for k in range(3)]
    store_context.make(tasks[0])
    for task, error in zip(tasks[1:], (STALLED, HUNGRY), strict=True):
        assert store_context.store.release(
            store_context.claim(task), "fatal", error=error
        ).applied
    joining = store_context.claim(f"{job_id}:o:strip")
    assert [[file.name for file in files] for files in joining.parts] == [
        [tasks[0]],
        [],
        [],
    ]


def test_the_second_part_that_stalls_ends_the_others(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("strip")
    store_context.open(job_id, strip=1000)
    tasks = [f"{job_id}:o:strip:{k}" for k in range(1000)]
    running = store_context.claim(tasks[2])
    store_context.store.release(store_context.claim(tasks[0]), "fatal", error=STALLED)
    assert store_context.status(job_id) == "processing"

    assert store_context.store.release(
        store_context.claim(tasks[1]), "fatal", error=STALLED
    ).job_ended

    assert store_context.get(job_id).outputs[0].error == STALLED
    assert store_context.store.beat(running) == "cancel"
    assert store_context.store.claim(tasks[999], "x", "w") == Refusal("done")


def test_retry_makes_all_parts_again(store_context: StoreContext) -> None:
    job_id = store_context.accept("strip")
    store_context.open(job_id, strip=2)
    store_context.make(f"{job_id}:o:strip:0")
    late = store_context.claim(f"{job_id}:o:strip:1")
    store_context.store.cancel(job_id)
    assert store_context.status(job_id) == "cancelled"

    outcome = store_context.store.retry(job_id)

    assert [message.task for message in outcome.messages] == [
        f"{job_id}:o:strip:0",
        f"{job_id}:o:strip:1",
    ]
    assert store_context.store.finish(late, result=1) == STALE
    store_context.make(f"{job_id}:o:strip:0")
    store_context.make(f"{job_id}:o:strip:1")
    store_context.make(f"{job_id}:o:strip")
    assert store_context.status(job_id) == "completed"


def test_prepare_moves_queues_and_refuses_single_outputs(
    store_context: StoreContext,
) -> None:
    slow = NewOutput("clip", "animation", {}, "slow")
    job_id = store_context.accept(
        outputs=[slow, NewOutput("late", "thumbnail", {}, "fast")]
    )
    claim = store_context.claim(f"{job_id}:prepare")
    error = ErrorInfo(code="seek_past_end", title="t", detail="d")

    outcome = store_context.store.open(
        claim,
        MEDIA,
        claim.source,
        {"clip": Opening(queue="fast"), "late": Opening(error=error)},
    )

    assert [(message.task, message.queue) for message in outcome.messages] == [
        (f"{job_id}:o:clip", "fast")
    ]
    assert store_context.get(job_id).outputs[1].error == error
    store_context.make(f"{job_id}:o:clip")
    assert store_context.status(job_id) == "partial"


@pytest.mark.parametrize("verb", ["open", "finish"])
def test_a_claim_ends_by_its_own_verb(store_context: StoreContext, verb: str) -> None:
    job_id = store_context.accept()
    prepare = store_context.claim(f"{job_id}:prepare")

    def misuse(claim: Claim) -> Outcome:
        if verb == "finish":
            return store_context.store.finish(prepare, [])
        return store_context.store.open(claim, MEDIA, claim.source, {})

    store_context.store.open(prepare, MEDIA, prepare.source, {"poster": Opening()})
    claim = store_context.claim(f"{job_id}:o:poster")
    with pytest.raises(ValueError, match="task"):
        misuse(claim)
