"""A part of the service itself is away: work waits, at no cost, for a bounded time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from common.jobs.store import Claim, JobStore, Opening, Refusal
from common.model import ErrorInfo, Waiting
from common.settings.sections import Lease
from tests.common.jobs.store.lab import BAD, IDLE, MEDIA, Lab, an_artifact

AWAY = ErrorInfo(code="storage_unavailable", title="Away", detail="answers 500")
HOST = "host:1"


def shut(lab: Lab, piece: str) -> Claim:
    """Claim a piece and give it back because the storage is away."""
    claim = lab.claim(piece)
    assert lab.store.release(claim, "wait", error=AWAY).applied
    return claim


def reopens(lab: Lab, piece: str) -> None:
    """Let the host's pause, and the piece's, be over."""
    lab.ripen(piece, "delayed")
    lab.client.hdel(lab.key("away"), "host")


def entry(lab: Lab, host: str = "host") -> dict[str, Any]:
    return json.loads(str(lab.client.hget(lab.key("away"), host)))


def passes(lab: Lab, host: str, until: int | None = None) -> None:
    """Let the pause of a host be over: a moment ago, or at Unix ms ``until``."""
    ended = lab.client.time()[0] * 1000 - 1000 if until is None else until
    changed = entry(lab, host) | {"until": ended}
    lab.client.hset(lab.key("away"), host, json.dumps(changed))


def opened_by(lab: Lab, worker: str) -> str:
    """Return a job whose prepare has ended well on another host."""
    job_id = lab.accept()
    claim = lab.store.claim(f"{job_id}:prepare", "t", worker)
    assert isinstance(claim, Claim)
    lab.store.open(claim, MEDIA, claim.source, {"poster": Opening()})
    return job_id


def test_work_that_waits_uses_up_nothing(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(lease=Lease(max_attempts=1))
    job_id = lab.opened()
    piece = f"{job_id}:o:poster"
    for _ in range(20):
        claim = shut(lab, piece)
        assert (claim.attempt, claim.lost, claim.deaths) == (1, 0, 0)
        reopens(lab, piece)
    output = lab.get(job_id).outputs[0]
    assert (output.status, output.attempts, output.error) == ("queued", [], None)
    assert lab.make(piece).job_ended
    assert lab.status(job_id) == "completed"


def test_the_job_says_what_it_waits_for_until_it_gets_on(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(lease=Lease(outage_hours=2))
    job_id = lab.opened("poster", "other")
    assert lab.get(job_id).waiting is None
    version = lab.get(job_id).version
    shut(lab, f"{job_id}:o:poster")

    job = lab.get(job_id)
    assert job.waiting == Waiting(
        error=AWAY, since=job.updated_at, until=job.updated_at + 2 * 3_600_000
    )
    assert (job.status, job.version > version) == ("processing", True)

    reopens(lab, f"{job_id}:o:poster")
    shut(lab, f"{job_id}:o:poster")
    again = lab.get(job_id).waiting
    assert again is not None
    assert again.since == job.waiting.since
    assert lab.events(job_id).count("output.requeued") == 1

    reopens(lab, f"{job_id}:o:poster")
    lab.make(f"{job_id}:o:other")
    assert lab.get(job_id).waiting is None


def test_prepare_waits_as_well(lab: Lab) -> None:
    job_id = lab.accept()
    shut(lab, f"{job_id}:prepare")
    assert lab.get(job_id).waiting is not None
    reopens(lab, f"{job_id}:prepare")
    lab.open(job_id)
    assert lab.get(job_id).waiting is None


def test_the_host_claims_nothing_meanwhile_and_others_do(lab: Lab) -> None:
    shut(lab, f"{lab.opened()}:o:poster")
    job_id = opened_by(lab, "other:1")
    piece = f"{job_id}:o:poster"

    assert lab.store.claim(piece, "x", "host:2") == Refusal("early")
    assert lab.store.claim(piece, "x", "host:2") == Refusal("early")

    # What was refused waits for the end of the pause, and says why.
    assert lab.get(job_id).waiting is not None
    lab.reaper_was_here()
    lab.ripen(piece, "delayed")
    assert piece in [bell.piece for bell in lab.store.reap(100, IDLE).bells]
    claim = lab.store.claim(piece, "y", "other:7")
    assert isinstance(claim, Claim)
    assert (claim.attempt, lab.get(job_id).waiting is not None) == (1, True)


def test_a_host_without_storage_delivers_notices(lab: Lab) -> None:
    hook = {"type": "webhook", "url": "https://a.test", "events": ["job.accepted"]}
    lab.store.part_away(HOST, AWAY)
    job_id = lab.accept(subscriptions=[hook])
    assert lab.claim(f"{job_id}:n:1").kind == "notice"


def test_the_pause_is_longer_each_time_in_a_row_and_over_with_the_next_success(
    lab: Lab,
) -> None:
    pauses = []
    for _ in range(7):
        lab.store.part_away(HOST, AWAY)
        until = entry(lab)["until"]
        pauses.append(round((until - lab.client.time()[0] * 1000) / 1000))
        lab.store.part_away(HOST, AWAY)
        assert entry(lab)["until"] == until, "a second piece of the same pause"
        passes(lab, "host")
    # The clock is read in whole seconds.
    assert pauses == pytest.approx([5, 10, 20, 40, 80, 120, 120], abs=1)
    lab.make(f"{lab.opened()}:o:poster")
    assert lab.store.stats().away == []


def test_the_stats_tell_which_host_misses_what(lab: Lab) -> None:
    assert lab.store.stats().away == []
    lab.store.part_away("a:1", AWAY)
    (missed,) = lab.store.stats().away
    assert (missed.host, missed.error) == ("a", AWAY)
    passes(lab, "a", 1)
    assert lab.store.stats().away == [], "nobody has met it again for long"
    assert lab.store.stats().counters["away"] == 1


def test_after_its_deadline_the_work_fails_with_the_reason(lab: Lab) -> None:
    job_id = lab.opened()
    piece = f"{job_id}:o:poster"
    shut(lab, piece)
    reopens(lab, piece)
    lab.client.hset(lab.key(f"piece:{piece}"), "away_since", 1)

    claim = lab.claim(piece)
    assert lab.store.release(claim, "wait", error=AWAY).job_ended

    job = lab.get(job_id)
    assert (job.status, job.waiting) == ("failed", None)
    assert job.outputs[0].error == AWAY
    assert [dead.piece for dead in lab.store.dead()] == [piece]
    lab.client.hdel(lab.key("away"), "host")
    assert lab.store.retry(job_id).applied
    assert lab.make(piece).job_ended
    assert lab.status(job_id) == "completed"


def test_after_its_deadline_no_more_claim_is_needed_to_end_it(lab: Lab) -> None:
    job_id = lab.opened()
    piece = f"{job_id}:o:poster"
    lab.client.hset(lab.key(f"piece:{piece}"), "away_since", 1)
    lab.store.part_away(HOST, AWAY)
    assert lab.store.claim(piece, "x", HOST) == Refusal("exhausted")
    assert lab.status(job_id) == "failed"


def test_a_cancel_ends_what_waits(lab: Lab) -> None:
    job_id = lab.opened()
    shut(lab, f"{job_id}:o:poster")
    lab.store.cancel(job_id)
    job = lab.get(job_id)
    assert (job.status, job.waiting) == ("cancelled", None)


def test_a_fault_of_the_media_ends_the_wait(lab: Lab) -> None:
    job_id = lab.opened("poster", "other")
    piece = f"{job_id}:o:poster"
    shut(lab, piece)
    reopens(lab, piece)
    lab.store.release(lab.claim(piece), "fatal", error=BAD)
    assert lab.get(job_id).waiting is None
    claim = lab.claim(f"{job_id}:o:other")
    assert lab.store.finish(claim, [an_artifact(claim)]).job_ended


@pytest.mark.parametrize(("worker", "host"), [("solo", "solo"), ("a:b:7", "a:b")])
def test_a_host_is_what_stands_before_the_last_colon(
    lab: Lab, worker: str, host: str
) -> None:
    store: JobStore = lab.store
    store.part_away(worker, AWAY)
    assert [one.host for one in store.stats().away] == [host]
