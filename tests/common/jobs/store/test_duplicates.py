"""Twins: jobs with the same bytes and specs, of which one makes the results."""

from __future__ import annotations

import pytest

from common.jobs.store import Claim, CopiedOutput, Outcome, Twin
from tests.common.jobs.store.lab import MEDIA, Lab, an_artifact

DIGEST = "d" * 64


def ask(lab: Lab, job_id: str, **more: object) -> Twin:
    claim = lab.claim(f"{job_id}:prepare")
    return lab.store.find_twin(claim, DIGEST, **more)  # type: ignore[arg-type]


def made(lab: Lab) -> str:
    """Give a job that holds the digest and is completed."""
    job_id = lab.accept()
    claim = lab.claim(f"{job_id}:prepare")
    assert lab.store.find_twin(claim, DIGEST).what == "run"
    lab.store.release(claim, "refund")
    lab.open(job_id)
    lab.make(f"{job_id}:o:poster")
    return job_id


def adopt(lab: Lab, claim: Claim, twin: str) -> Outcome:
    copied = CopiedOutput("poster", [an_artifact(claim)], ["careful"])
    return lab.store.adopt(claim, DIGEST, claim.source, lab.get(twin), [copied])


def test_the_first_to_ask_makes_the_results(lab: Lab) -> None:
    assert ask(lab, lab.accept()) == Twin("run")


def test_who_asks_again_is_still_the_first(lab: Lab) -> None:
    job_id = lab.accept()
    claim = lab.claim(f"{job_id}:prepare")
    assert lab.store.find_twin(claim, DIGEST) == Twin("run")
    assert lab.store.find_twin(claim, DIGEST) == Twin("run")


def test_the_second_waits_for_the_first(lab: Lab) -> None:
    first, second = lab.accept(), lab.accept()
    ask(lab, first)
    assert ask(lab, second) == Twin("wait", first)


def test_who_may_not_wait_runs_and_leaves_the_first_its_place(lab: Lab) -> None:
    first, second, third = lab.accept(), lab.accept(), lab.accept()
    ask(lab, first)
    assert ask(lab, second, wait=False) == Twin("run")
    assert ask(lab, third) == Twin("wait", first)


def test_results_of_a_completed_job_may_be_copied(lab: Lab) -> None:
    first = made(lab)
    assert ask(lab, lab.accept()) == Twin("copy", first)


def test_a_twin_whose_files_are_gone_is_passed_over(lab: Lab) -> None:
    first, second = made(lab), lab.accept()
    assert ask(lab, second, lost=first) == Twin("run")


@pytest.mark.parametrize("end", ["fail", "cancel", "delete"])
def test_a_first_without_results_gives_its_place_to_who_waits(
    lab: Lab, end: str
) -> None:
    first, second = lab.accept(), lab.accept()
    held = lab.claim(f"{first}:prepare")
    lab.store.find_twin(held, DIGEST)
    claim = lab.claim(f"{second}:prepare")
    lab.store.find_twin(claim, DIGEST)
    lab.store.release(claim, "defer", delay_seconds=60)
    if end == "fail":
        bells = lab.store.release(held, "fatal").bells
    else:
        bells = getattr(lab.store, end)(first).bells
    assert [bell.piece for bell in bells] == [claim.piece]
    assert ask(lab, second) == Twin("run")


def test_what_is_known_goes_with_the_record(lab: Lab) -> None:
    made(lab)
    assert lab.client.ttl(lab.key(f"same:{DIGEST}")) > 0


def test_copies_end_the_job(lab: Lab) -> None:
    first, second = made(lab), lab.accept()
    claim = lab.claim(f"{second}:prepare")
    outcome = adopt(lab, claim, first)
    job = lab.get(second)
    assert (outcome.applied, outcome.job_ended) == (True, True)
    assert (job.status, job.deduplicated_from) == ("completed", first)
    assert job.media == MEDIA
    assert job.outputs[0].artifacts == [an_artifact(claim)]
    assert job.outputs[0].warnings == ["careful"]


def test_a_stale_claim_adopts_nothing(lab: Lab) -> None:
    first, second = made(lab), lab.accept()
    stale = lab.claim(f"{second}:prepare")
    lab.store.died(stale.piece, stale.token)
    lab.claim(f"{second}:prepare")
    assert not adopt(lab, stale, first).applied
    assert lab.status(second) == "processing"
    assert lab.store.find_twin(stale, DIGEST).what == "lost"


def test_a_job_that_is_to_be_cancelled_adopts_nothing(lab: Lab) -> None:
    first, second = made(lab), lab.accept()
    claim = lab.claim(f"{second}:prepare")
    lab.store.cancel(second)
    assert not adopt(lab, claim, first).applied
    assert lab.status(second) == "cancelled"


def test_with_a_destination_copies_go_on_to_it(lab: Lab) -> None:
    first = made(lab)
    second = lab.accept(options={"destination": {"bucket": "theirs"}})
    claim = lab.claim(f"{second}:prepare")
    (bell,) = adopt(lab, claim, first).bells
    assert (bell.piece, bell.kind) == (f"{second}:o:poster", "publish")
    assert lab.states(second) == ["running"]
    lab.make(bell.piece)
    assert lab.status(second) == "completed"
