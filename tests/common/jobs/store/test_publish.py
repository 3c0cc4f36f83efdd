"""An output whose files go to a destination: rendered, then copied, then succeeded."""

from __future__ import annotations

from typing import Any

import pytest

from common.model import ObjectName, Queue
from tests.common.jobs.store.lab import BAD, IDLE, Lab, an_artifact

TO = {"destination": {"bucket": "b", "prefix": "p"}}


def rendered(lab: Lab, *names: str, **fields: Any) -> str:
    """Give a job whose only output is rendered, and not copied yet."""
    job_id = lab.opened(*names, options=TO, **fields)
    for output in lab.get(job_id).outputs:
        claim = lab.claim(f"{job_id}:o:{output.name}")
        outcome = lab.store.finish(claim, [an_artifact(claim)], publish=True)
        assert outcome.applied
        assert not outcome.job_ended
        assert [(bell.kind, bell.queue) for bell in outcome.bells] == [
            ("publish", "fast")
        ]
    return job_id


def test_given_a_rendered_output_then_its_job_goes_on(lab: Lab) -> None:
    job_id = rendered(lab)
    assert (lab.status(job_id), lab.states(job_id)) == ("processing", ["running"])
    assert lab.get(job_id).outputs[0].progress == 99


def test_given_a_claim_to_publish_then_it_has_what_was_rendered(lab: Lab) -> None:
    job_id = rendered(lab)
    claim = lab.claim(f"{job_id}:o:poster")
    assert (claim.kind, claim.attempt, claim.options) == ("publish", 1, TO)
    assert [one.name for one in claim.artifacts] == ["a.jpg"]


def test_given_the_copies_when_finished_then_the_job_completes(lab: Lab) -> None:
    job_id = rendered(lab)
    claim = lab.claim(f"{job_id}:o:poster")
    place = ObjectName(bucket="b", key="p/poster/a.jpg")
    copied = claim.artifacts[0].model_copy(update={"copy_at": place})
    outcome = lab.store.finish(claim, [copied])
    assert (outcome.applied, outcome.job_ended) == (True, True)
    assert lab.status(job_id) == "completed"
    assert lab.get(job_id).outputs[0].artifacts[0].copy_at == place


def test_given_a_stale_render_then_it_publishes_nothing(lab: Lab) -> None:
    job_id = lab.opened(options=TO)
    piece = f"{job_id}:o:poster"
    stale = lab.claim(piece)
    lab.reaper_was_here()
    lab.expire(piece)
    lab.store.reap(10, IDLE)
    newer = lab.claim(piece)
    assert lab.store.finish(newer, [an_artifact(newer)], publish=True).applied
    assert not lab.store.finish(stale, [an_artifact(stale)], publish=True).applied
    kept = lab.claim(piece).artifacts
    assert [one.key for one in kept] == [an_artifact(newer).key]


def test_given_a_stale_copier_then_it_has_the_files_of_the_newer(lab: Lab) -> None:
    job_id = rendered(lab)
    piece = f"{job_id}:o:poster"
    stale = lab.claim(piece)
    lab.reaper_was_here()
    lab.expire(piece)
    lab.store.reap(10, IDLE)
    newer = lab.claim(piece)
    assert newer.artifacts == stale.artifacts
    assert lab.store.finish(newer, newer.artifacts).applied
    assert not lab.store.finish(stale, stale.artifacts).applied


def test_given_a_refused_copy_then_the_output_fails_and_keeps_its_files(
    lab: Lab,
) -> None:
    job_id = rendered(lab)
    lab.ruin(f"{job_id}:o:poster")
    output = lab.get(job_id).outputs[0]
    assert (lab.status(job_id), output.status, output.error) == (
        "failed",
        "failed",
        BAD,
    )
    assert len(output.artifacts) == 1


@pytest.mark.parametrize("parts", [[], [0, 1]])
def test_given_a_failed_copy_when_retried_then_only_the_copy_is_made_again(
    lab: Lab, parts: list[int]
) -> None:
    job_id = lab.accept(options=TO)
    lab.open(job_id, poster=parts)
    keys = []
    for part in parts:
        made = lab.claim(f"{job_id}:o:poster:{part}")
        keys.append(an_artifact(made).key)
        lab.store.finish(made, [an_artifact(made)])
    claim = lab.claim(f"{job_id}:o:poster")
    lab.store.finish(claim, [an_artifact(claim)], publish=True)
    lab.ruin(f"{job_id}:o:poster")
    bells = lab.store.retry(job_id).bells
    assert [bell.kind for bell in bells] == ["publish"]
    again = lab.claim(f"{job_id}:o:poster")
    assert [one.key for one in again.artifacts] == [*keys, an_artifact(claim).key]
    assert lab.store.finish(again, again.artifacts).job_ended
    assert lab.status(job_id) == "completed"


def test_given_a_cancel_before_the_copy_then_the_job_is_cancelled(lab: Lab) -> None:
    job_id = rendered(lab)
    lab.store.cancel(job_id)
    assert lab.status(job_id) == "cancelled"


def test_given_a_cancel_during_the_copy_then_the_claim_hears_it(lab: Lab) -> None:
    job_id = rendered(lab)
    claim = lab.claim(f"{job_id}:o:poster")
    lab.store.cancel(job_id)
    assert lab.store.beat(claim) == "cancel"
    assert not lab.store.finish(claim, claim.artifacts).applied
    assert lab.status(job_id) == "cancelled"


def test_given_a_worker_that_dies_then_the_copy_is_rung_for_again(lab: Lab) -> None:
    job_id = rendered(lab)
    piece = f"{job_id}:o:poster"
    lab.claim(piece)
    bells = lab.store.died(piece).bells
    queue: Queue = "fast"
    assert [(bell.piece, bell.kind, bell.queue) for bell in bells] == [
        (piece, "publish", queue)
    ]


def test_given_two_outputs_then_each_is_copied_by_itself(lab: Lab) -> None:
    job_id = rendered(lab, "poster", "card")
    first = lab.claim(f"{job_id}:o:poster")
    assert not lab.store.finish(first, first.artifacts).job_ended
    lab.ruin(f"{job_id}:o:card")
    assert lab.status(job_id) == "partial"
