"""Notices: made with their event, claimed like any piece, kept in a log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.errors import Conflict, NotFound
from common.jobs.store import Accepted, Refusal
from common.model import AttemptReport
from common.settings.sections import Webhooks
from tests.common.jobs.store.lab import BAD, Lab

ALL_OF_JOB = {"id": "s1", "type": "webhook", "events": ["job.*"], "url": "https://x/"}


def ends(*events: str) -> dict[str, Any]:
    return {"subscriptions": [ALL_OF_JOB | {"events": list(events)}]}


def test_an_event_makes_its_notice_in_the_same_call(lab: Lab) -> None:
    accepted = lab.store.accept(lab.new_job(subscriptions=[ALL_OF_JOB]))
    assert isinstance(accepted, Accepted)
    notice = f"{accepted.job_id}:n:1"
    assert [(bell.piece, bell.kind) for bell in accepted.bells][1:] == [
        (notice, "notice")
    ]
    claim = lab.claim(notice)
    assert claim.kind == "notice"
    assert claim.notice is not None
    assert claim.notice["subscription"] == ALL_OF_JOB
    assert claim.notice["event"]["type"] == "job.accepted"
    assert claim.notice["event"]["id"] == lab.store.events(accepted.job_id)[0].id


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["job.completed"], ["job.completed"]),
        (["output.*"], ["output.running", "output.succeeded"]),
        (["*"], 6),
        ([], 6),
        (["job"], []),
        (["job.fail*"], []),
    ],
)
def test_a_subscription_gets_what_it_asked_for(
    lab: Lab, events: list[str], expected: list[str] | int
) -> None:
    lab.done(**ends(*events))
    told = [notice.event.type for notice in lab.store.notices("")[0]][::-1]
    assert told == expected or len(told) == expected


def test_a_claim_brings_the_bells_of_its_notices(lab: Lab) -> None:
    job_id = lab.accept(**ends("job.processing"))
    claim = lab.claim(f"{job_id}:prepare", "t")
    sent_twice = type(lab.store).__name__ == "TwiceStore"
    assert [bell.piece for bell in claim.bells] == (
        [] if sent_twice else [f"{job_id}:n:1"]
    )


def test_a_notice_does_not_touch_its_job(lab: Lab) -> None:
    job_id = lab.done(**ends("job.completed"))
    before = lab.get(job_id)
    assert lab.ruin(f"{job_id}:n:1").job_ended is False
    assert lab.get(job_id) == before
    assert lab.store.list(status="completed")[0] == [before]


def test_a_notice_has_attempts_of_its_own(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(webhooks=Webhooks(retry_seconds=[1, 1]))
    notice = f"{lab.done(**ends('job.completed'))}:n:1"
    for attempt in range(1, 4):
        claim = lab.claim(notice)
        assert claim.attempt == attempt
        report = AttemptReport(attempt=attempt, rung="webhook", error=BAD)
        lab.store.release(claim, "retry", error=BAD, reports=[report])
    assert lab.store.claim(notice, "x", "w") == Refusal("done")
    record = lab.store.notice(notice)
    assert record is not None
    assert (record.state, record.error, len(record.attempts)) == ("failed", BAD, 3)


def test_a_notice_outlives_its_job(lab: Lab) -> None:
    job_id = lab.done(**ends("job.completed"))
    lab.store.delete(job_id)
    claim = lab.claim(f"{job_id}:n:1")
    assert claim.source.key == f"in/{job_id}/source"
    assert lab.store.finish(claim, result={"status": 204}).applied
    record = lab.store.notice(f"{job_id}:n:1")
    assert record is not None
    assert (record.state, record.result) == ("succeeded", {"status": 204})


def test_an_ended_notice_expires_and_an_open_one_does_not(lab: Lab) -> None:
    notice = f"{lab.done(**ends('job.completed'))}:n:1"
    key = lab.key(f"piece:{notice}")
    assert lab.client.ttl(key) == -1
    lab.make(notice)
    assert lab.client.ttl(key) > 29 * 24 * 3600

    lab.has_run_out(next(iter(lab.client.zscan_iter(lab.key("chores"), "notice:*")))[0])
    lab.client.delete(key)
    lab.store.finish_chore(lab.store.chores()[0])
    assert not {"notices", "notices:"} & set(lab.snapshot())


def test_a_lost_notice_goes_back_to_its_queue(lab: Lab) -> None:
    notice = f"{lab.done(**ends('job.completed'))}:n:1"
    lab.claim(notice)
    lab.reaper_was_here()
    lab.expire(notice)
    assert [bell.piece for bell in lab.store.reap().bells] == [notice]
    assert lab.claim(notice).lost == 1


def test_the_log_belongs_to_its_owner_and_is_paged(lab: Lab) -> None:
    for _ in range(3):
        lab.done(owner="ann", **ends("job.completed"))
    lab.done(owner="bob", **ends("job.completed"))
    first, cursor = lab.store.notices("ann", limit=2)
    rest, end = lab.store.notices("ann", limit=2, cursor=cursor)
    assert (len(first), len(rest), end) == (2, 1, None)
    assert len(lab.store.notices(None)[0]) == 4
    assert lab.store.notice("f" * 32 + ":n:1") is None


def test_an_ended_notice_is_replayed(lab: Lab) -> None:
    notice = f"{lab.done(**ends('job.completed'))}:n:1"
    with pytest.raises(Conflict):
        lab.store.replay_notice(notice)
    old = lab.claim(notice)
    lab.store.finish(old)

    outcome = lab.store.replay_notice(notice)

    assert [bell.piece for bell in outcome.bells] == [notice]
    assert lab.client.ttl(lab.key(f"piece:{notice}")) == -1
    again = lab.claim(notice)
    assert (again.attempt, again.fence > old.fence) == (1, True)
    with pytest.raises(NotFound):
        lab.store.replay_notice("f" * 32 + ":n:1")
