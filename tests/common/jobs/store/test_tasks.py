"""Pieces: claimed, kept alive, joined from parts, ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.errors import InternalError
from common.jobs.store import Claim, NewOutput, Opening, Outcome, Refusal
from common.model import AttemptReport, ErrorInfo
from common.settings.sections import Lease
from tests.common.jobs.store.lab import BAD, MEDIA, Lab, an_artifact

STALE = Outcome(applied=False, job_ended=False, bells=[])


def test_a_claim_holds_all_that_the_work_needs(lab: Lab) -> None:
    job_id = lab.opened("poster", options={"priority": 1})
    claim = lab.claim(f"{job_id}:o:poster")
    assert (claim.kind, claim.output, claim.part, claim.queue) == (
        "render",
        "poster",
        None,
        "fast",
    )
    assert claim.spec == {"kind": "thumbnail"}
    assert (claim.media, claim.options) == (MEDIA, {"priority": 1})
    assert (claim.attempt, claim.lost, claim.deaths) == (1, 0, 0)
    assert (claim.worker, claim.parts, claim.notice) == ("host:1", [], None)


def test_the_same_token_gets_the_same_claim(lab: Lab) -> None:
    job_id = lab.opened()
    first = lab.claim(f"{job_id}:o:poster", "mine")
    assert lab.claim(f"{job_id}:o:poster", "mine") == first
    assert lab.get(job_id).version == lab.get(job_id).version


def test_another_token_is_refused_while_the_lease_lives(lab: Lab) -> None:
    job_id = lab.opened()
    lab.claim(f"{job_id}:o:poster")
    assert lab.store.claim(f"{job_id}:o:poster", "x", "w") == Refusal("busy")


def test_outputs_wait_for_prepare(lab: Lab) -> None:
    job_id = lab.accept()
    assert lab.store.claim(f"{job_id}:o:poster", "x", "w") == Refusal("waiting")


def test_an_unknown_piece_is_gone(lab: Lab) -> None:
    assert lab.store.claim("f" * 32 + ":prepare", "x", "w") == Refusal("gone")


def test_a_finished_piece_is_done(lab: Lab) -> None:
    job_id = lab.done()
    assert lab.store.claim(f"{job_id}:o:poster", "x", "w") == Refusal("done")


def test_finish_publishes_the_artifacts_once(lab: Lab) -> None:
    job_id = lab.opened()
    claim = lab.claim(f"{job_id}:o:poster")
    report = AttemptReport(attempt=1, rung="best", seconds=0.5)
    kept = an_artifact(claim)

    outcome = lab.store.finish(claim, [kept], warnings=["w"], reports=[report])
    again = lab.store.finish(claim, [an_artifact(claim, "other.jpg")])

    assert outcome == Outcome(applied=True, job_ended=True, bells=[])
    assert again.applied
    output = lab.get(job_id).outputs[0]
    assert (output.status, output.progress) == ("succeeded", 100)
    assert (output.artifacts, output.warnings) == ([kept], ["w"])
    assert output.attempts == [report]
    assert lab.events(job_id).count("output.succeeded") == 1


def test_a_stale_fence_publishes_nothing(lab: Lab) -> None:
    job_id = lab.opened()
    old = lab.claim(f"{job_id}:o:poster")
    lab.reaper_was_here()
    lab.expire(old.piece)
    lab.store.reap()
    new = lab.claim(f"{job_id}:o:poster")

    assert lab.store.beat(old) == "lost"
    assert lab.store.finish(old, [an_artifact(old)]) == STALE
    assert lab.store.release(old, "fatal", error=BAD) == STALE
    assert new.fence > old.fence
    assert lab.store.finish(new, [an_artifact(new)]).applied
    assert lab.get(job_id).outputs[0].artifacts[0].key.split("/")[-2] == str(new.fence)
    assert lab.store.stats().counters["refused"] == 2


def test_a_beat_shows_progress_and_keeps_the_lease(lab: Lab) -> None:
    job_id = lab.opened("one", "two")
    claim = lab.claim(f"{job_id}:o:one")
    lab.expire(claim.piece)
    assert lab.store.beat(claim, 40.0) == "ok"
    job = lab.get(job_id)
    assert (job.progress, job.outputs[0].progress) == (20, 40)
    lab.reaper_was_here()
    assert lab.store.reap().expired == 0


def test_a_failed_attempt_is_tried_again_until_the_limit(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(lease=Lease(max_attempts=2))
    job_id = lab.opened()
    piece = f"{job_id}:o:poster"
    first = lab.store.release(lab.claim(piece), "retry", error=BAD)
    assert [bell.piece for bell in first.bells] == [piece]
    assert lab.status(job_id) == "processing"

    second = lab.claim(piece)
    assert second.attempt == 2
    assert lab.store.release(second, "retry", error=BAD).job_ended
    assert lab.get(job_id).outputs[0].error == BAD
    assert [dead.piece for dead in lab.store.dead()] == [piece]


def test_a_delayed_retry_is_early_until_its_time(lab: Lab) -> None:
    job_id = lab.opened()
    piece = f"{job_id}:o:poster"
    outcome = lab.store.release(lab.claim(piece), "retry", error=BAD, delay_seconds=60)
    assert outcome.bells == []
    assert lab.store.claim(piece, "x", "w") == Refusal("early")
    lab.ripen(piece, "delayed")
    assert lab.claim(piece).attempt == 2


def test_a_refund_costs_no_attempt(lab: Lab) -> None:
    job_id = lab.opened()
    piece = f"{job_id}:o:poster"
    first = lab.claim(piece)
    lab.store.release(first, "refund")
    second = lab.claim(piece)
    assert (second.attempt, second.fence > first.fence) == (1, True)


def test_refunds_are_capped(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(lease=Lease(max_refunds=2, max_attempts=2))
    piece = f"{lab.opened()}:o:poster"
    attempts = []
    for _ in range(4):
        claim = lab.claim(piece)
        attempts.append(claim.attempt)
        lab.store.release(claim, "refund")
    assert attempts == [1, 1, 1, 2]
    assert [dead.error.code for dead in lab.store.dead()] == ["worker_lost"]


def test_a_fatal_error_is_tried_once_and_is_not_dead(lab: Lab) -> None:
    job_id = lab.opened()
    assert lab.ruin(f"{job_id}:o:poster").job_ended
    assert lab.status(job_id) == "failed"
    assert lab.store.dead() == []


def test_deaths_are_counted_apart_from_attempts(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(lease=Lease(max_deaths=3, max_attempts=1))
    job_id = lab.opened()
    piece = f"{job_id}:o:poster"
    for deaths in range(3):
        claim = lab.claim(piece)
        assert (claim.attempt, claim.deaths) == (1, deaths)
        assert lab.store.died(piece, claim.token).applied
    output = lab.get(job_id).outputs[0]
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


def test_a_death_leaves_the_claim_of_another_alone(lab: Lab) -> None:
    piece = f"{lab.opened()}:o:poster"
    claim = lab.claim(piece, "task-2:x")
    assert lab.store.died(piece, "task-1:") == STALE
    assert lab.store.beat(claim) == "ok"
    assert lab.store.died(piece, "task-2:").applied
    assert lab.store.beat(claim) == "lost"


def test_lowered_limits_end_a_piece_at_its_next_claim(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(lease=Lease(max_attempts=1))
    job_id = lab.opened()
    piece = f"{job_id}:o:poster"
    lab.client.hset(lab.key(f"piece:{piece}"), "attempt", 1)
    assert lab.store.claim(piece, "x", "w") == Refusal("exhausted")
    assert lab.store.claim(piece, "x", "w") == Refusal("exhausted")
    assert lab.store.claim(piece, "y", "w") == Refusal("done")
    assert lab.status(job_id) == "failed"


def test_an_output_is_joined_when_its_last_part_is_done(lab: Lab) -> None:
    job_id = lab.accept("strip")
    outcome = lab.open(job_id, strip=[{"from": 0.0}, {"from": 2.0}])
    parts = [f"{job_id}:o:strip:{k}" for k in (0, 1)]
    assert [bell.piece for bell in outcome.bells] == parts
    assert lab.store.claim(f"{job_id}:o:strip", "x", "w") == Refusal("waiting")

    second = lab.claim(parts[1])
    assert (second.part, second.output) == (1, "strip")
    assert second.part_spec == {"from": 2.0}
    assert second.spec == {"kind": "thumbnail"}
    assert lab.store.finish(second, result=["b"], warnings=["w"]).bells == []
    assert lab.states(job_id) == ["running"]
    assert lab.get(job_id).outputs[0].progress == 50
    first = lab.store.finish(lab.claim(parts[0]), result=["a"])
    assert [bell.piece for bell in first.bells] == [f"{job_id}:o:strip"]

    joining = lab.claim(f"{job_id}:o:strip")
    assert joining.parts == [["a"], ["b"]]
    assert (joining.part, joining.part_spec) == (None, None)
    assert lab.states(job_id) == ["running"]
    assert lab.store.finish(joining, [an_artifact(joining)]).job_ended
    output = lab.get(job_id).outputs[0]
    assert (output.status, output.progress, output.warnings) == (
        "succeeded",
        100,
        ["w"],
    )


def joined(lab: Lab, job_id: str, *named: str, publish: bool = False) -> Outcome:
    """Make two parts with a file each, and join them by an index."""
    lab.open(job_id, strip=[1, 2])
    for number in (1, 0):
        part = lab.claim(f"{job_id}:o:strip:{number}")
        lab.store.finish(part, [an_artifact(part, f"{number}.gif")], result=[])
    joining = lab.claim(f"{job_id}:o:strip")
    index = an_artifact(joining, "index.json").model_copy(update={"names": [*named]})
    return lab.store.finish(joining, [index], publish=publish)


def test_a_joined_output_has_the_files_of_its_parts_in_their_order(lab: Lab) -> None:
    job_id = lab.accept("strip")
    assert joined(lab, job_id, "0.gif", "1.gif").job_ended
    artifacts = lab.get(job_id).outputs[0].artifacts
    assert [one.name for one in artifacts] == ["0.gif", "1.gif", "index.json"]
    fences = [int(one.key.split("/")[3]) for one in artifacts]
    assert fences[2] > fences[0] > fences[1]


def test_a_joined_output_is_copied_with_the_files_of_its_parts(lab: Lab) -> None:
    job_id = lab.accept("strip")
    joined(lab, job_id, "0.gif", publish=True)
    claim = lab.claim(f"{job_id}:o:strip")
    assert claim.kind == "publish"
    names = ["0.gif", "1.gif", "index.json"]
    assert [one.name for one in claim.artifacts] == names
    with pytest.raises(InternalError, match=r"0\.gif"):
        lab.store.finish(claim, claim.artifacts[1:])
    assert lab.status(job_id) == "processing"
    lab.store.release(claim, "retry", error=BAD)
    claim = lab.claim(f"{job_id}:o:strip")
    assert lab.store.finish(claim, claim.artifacts).job_ended
    assert [one.name for one in lab.get(job_id).outputs[0].artifacts] == names


def test_an_index_that_names_no_file_of_ours_ends_no_output(lab: Lab) -> None:
    job_id = lab.accept("strip")
    with pytest.raises(InternalError, match=r"2\.gif"):
        joined(lab, job_id, "0.gif", "2.gif")
    (output,) = lab.get(job_id).outputs
    assert (output.status, output.artifacts) == ("running", [])

    # The claim still holds: the attempt ends as any that met a defect.
    piece = lab.client.hgetall(lab.key(f"piece:{job_id}:o:strip"))
    assert piece["state"] == "running"


def test_a_part_that_is_made_again_has_the_files_of_the_later_one(lab: Lab) -> None:
    job_id = lab.accept("strip")
    lab.open(job_id, strip=[1])
    lost = lab.claim(f"{job_id}:o:strip:0")
    lab.reaper_was_here()
    lab.expire(lost.piece)
    lab.store.reap()
    again = lab.claim(f"{job_id}:o:strip:0")
    assert lab.store.finish(lost, [an_artifact(lost)]) == STALE
    assert lab.store.finish(again, [an_artifact(again)]).applied
    lab.make(f"{job_id}:o:strip")
    first = lab.get(job_id).outputs[0].artifacts[0]
    assert first.key == an_artifact(again).key


def test_fences_of_parts_never_meet(lab: Lab) -> None:
    job_id = lab.accept("strip", "other")
    lab.open(job_id, strip=[1, 2, 3])
    pieces = [f"{job_id}:o:strip:{k}" for k in range(3)] + [f"{job_id}:o:other"]
    fences = [lab.claim(piece).fence for piece in pieces]
    assert len(set(fences)) == 4


def test_an_output_with_parts_is_queued_until_one_is_claimed(lab: Lab) -> None:
    job_id = lab.accept("strip")
    lab.open(job_id, strip=[1, 2])
    assert lab.states(job_id) == ["queued"]
    lab.claim(f"{job_id}:o:strip:0")
    assert lab.states(job_id) == ["running"]


def test_a_part_that_fails_ends_its_output_and_stops_the_others(lab: Lab) -> None:
    job_id = lab.accept("strip")
    lab.open(job_id, strip=[1, 2, 3])
    running = lab.claim(f"{job_id}:o:strip:0")

    outcome = lab.ruin(f"{job_id}:o:strip:1")

    assert outcome.job_ended
    assert lab.get(job_id).outputs[0].error == BAD
    assert lab.store.beat(running) == "cancel"
    assert lab.store.claim(f"{job_id}:o:strip:2", "x", "w") == Refusal("done")
    assert lab.store.release(running, "cancelled").applied
    assert lab.states(job_id) == ["failed"]


STALLED = ErrorInfo(code="timeout", title="Timeout", detail="no progress")
HUNGRY = ErrorInfo(code="resource_limit", title="Limit", detail="too much")


def test_a_part_that_stalls_is_borne_once_and_its_output_joined(lab: Lab) -> None:
    job_id = lab.accept("strip")
    lab.open(job_id, strip=[1, 2, 3])
    pieces = [f"{job_id}:o:strip:{k}" for k in range(3)]
    lab.make(pieces[0])
    for piece, error in zip(pieces[1:], (STALLED, HUNGRY), strict=True):
        assert lab.store.release(lab.claim(piece), "fatal", error=error).applied
    assert lab.claim(f"{job_id}:o:strip").parts == [{"made": pieces[0]}, [], []]


def test_the_second_part_that_stalls_ends_the_others(lab: Lab) -> None:
    job_id = lab.accept("strip")
    lab.open(job_id, strip=list(range(1000)))
    pieces = [f"{job_id}:o:strip:{k}" for k in range(1000)]
    running = lab.claim(pieces[2])
    lab.store.release(lab.claim(pieces[0]), "fatal", error=STALLED)
    assert lab.status(job_id) == "processing"

    assert lab.store.release(lab.claim(pieces[1]), "fatal", error=STALLED).job_ended

    assert lab.get(job_id).outputs[0].error == STALLED
    assert lab.store.beat(running) == "cancel"
    assert lab.store.claim(pieces[999], "x", "w") == Refusal("done")


def test_retry_makes_all_parts_again(lab: Lab) -> None:
    job_id = lab.accept("strip")
    lab.open(job_id, strip=[1, 2])
    lab.make(f"{job_id}:o:strip:0")
    late = lab.claim(f"{job_id}:o:strip:1")
    lab.store.cancel(job_id)
    assert lab.status(job_id) == "cancelled"

    outcome = lab.store.retry(job_id)

    assert [bell.piece for bell in outcome.bells] == [
        f"{job_id}:o:strip:0",
        f"{job_id}:o:strip:1",
    ]
    assert lab.store.finish(late, result=1) == STALE
    lab.make(f"{job_id}:o:strip:0")
    lab.make(f"{job_id}:o:strip:1")
    lab.make(f"{job_id}:o:strip")
    assert lab.status(job_id) == "completed"


def test_prepare_moves_queues_and_refuses_single_outputs(lab: Lab) -> None:
    slow = NewOutput("clip", "animation", {}, "slow")
    job_id = lab.accept(outputs=[slow, NewOutput("late", "thumbnail", {}, "fast")])
    claim = lab.claim(f"{job_id}:prepare")
    error = ErrorInfo(code="seek_past_end", title="t", detail="d")

    outcome = lab.store.open(
        claim,
        MEDIA,
        claim.source,
        {"clip": Opening(queue="fast"), "late": Opening(error=error)},
    )

    assert [(bell.piece, bell.queue) for bell in outcome.bells] == [
        (f"{job_id}:o:clip", "fast")
    ]
    assert lab.get(job_id).outputs[1].error == error
    lab.make(f"{job_id}:o:clip")
    assert lab.status(job_id) == "partial"


@pytest.mark.parametrize("verb", ["open", "finish"])
def test_a_claim_ends_by_its_own_verb(lab: Lab, verb: str) -> None:
    job_id = lab.accept()
    prepare = lab.claim(f"{job_id}:prepare")

    def misuse(claim: Claim) -> Outcome:
        if verb == "finish":
            return lab.store.finish(prepare, [])
        return lab.store.open(claim, MEDIA, claim.source, {})

    lab.store.open(prepare, MEDIA, prepare.source, {"poster": Opening()})
    claim = lab.claim(f"{job_id}:o:poster")
    with pytest.raises(ValueError, match="piece"):
        misuse(claim)
