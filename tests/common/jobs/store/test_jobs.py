"""Jobs: accepted, read, listed, waited for, cancelled, retried, deleted."""

from __future__ import annotations

import threading
import time

import pytest

from common.errors import Conflict, IdempotencyMismatch, Invalid, NotFound
from common.jobs.store import Accepted, Caps, Full, Idempotency, Opening, Refusal
from common.model import Source
from tests.common.jobs.store.lab import BAD, MEDIA, Lab


def test_an_accepted_job_is_on_record_as_it_was_given(lab: Lab) -> None:
    # values that Lua's JSON would spoil: a whole float, an empty list, a large integer
    odd = {
        "a": 1.0,
        "b": [],
        "c": {},
        "d": 12345678901234567890,
        "e": "ü😀 /",
    }
    new = lab.new_job("poster", metadata=odd, options={"keep": [], "n": 2.0})

    accepted = lab.store.accept(new)

    assert isinstance(accepted, Accepted)
    assert accepted.created
    assert [bell.piece for bell in accepted.bells] == [f"{new.id}:prepare"]
    job = lab.get(new.id)
    assert (job.status, job.version, job.progress) == ("accepted", 1, 0)
    assert repr(job.metadata) == repr(odd)
    assert repr(job.options) == repr(new.options)
    assert job.source == new.source
    assert [output.status for output in job.outputs] == ["queued"]
    assert lab.events(new.id) == ["job.accepted"]


def test_a_lone_surrogate_in_metadata_comes_back(lab: Lab) -> None:
    job_id = lab.accept(metadata={"name": "\ud800"})
    assert lab.get(job_id).metadata == {"name": "\ud800"}


def test_an_unknown_job_is_none(lab: Lab) -> None:
    assert lab.store.get("f" * 32) is None
    assert lab.store.wait("f" * 32, 5) is None
    for verb in (lab.store.cancel, lab.store.retry, lab.store.delete):
        with pytest.raises(NotFound):
            verb("f" * 32)


def test_the_same_key_and_fingerprint_give_the_same_job(lab: Lab) -> None:
    first = lab.accept(idempotency=Idempotency("k", "print"))

    second = lab.store.accept(lab.new_job(), Idempotency("k", "print"))

    assert second == Accepted(first, created=False, bells=[])
    assert len(lab.store.list()[0]) == 1


def test_the_same_key_with_another_fingerprint_is_refused(lab: Lab) -> None:
    lab.accept(idempotency=Idempotency("k", "print"))
    with pytest.raises(IdempotencyMismatch):
        lab.store.accept(lab.new_job(), Idempotency("k", "other"))


def test_idempotency_keys_belong_to_their_owner(lab: Lab) -> None:
    first = lab.accept(owner="ann", idempotency=Idempotency("k", "print"))
    second = lab.accept(owner="bob", idempotency=Idempotency("k", "print"))
    assert first != second


def test_the_key_of_a_deleted_job_is_free_again(lab: Lab) -> None:
    first = lab.accept(idempotency=Idempotency("k", "print"))
    lab.store.delete(first)
    assert lab.accept(idempotency=Idempotency("k", "other")) != first


@pytest.mark.parametrize(("asked", "hours"), [(None, 24), (360, 360)])
def test_an_idempotency_key_expires(lab: Lab, asked: float | None, hours: int) -> None:
    lab.accept(idempotency=Idempotency("k", "print", asked))
    (key,) = lab.client.scan_iter(lab.key("idem:*"))
    assert hours - 1 < lab.client.ttl(key) / 3600 <= hours


def test_another_call_with_the_same_id_makes_no_second_job(lab: Lab) -> None:
    new = lab.new_job()
    lab.store.accept(new)
    again = lab.store.accept(new)
    assert again == Accepted(new.id, created=False, bells=[])


def test_caps_count_unfinished_jobs(lab: Lab) -> None:
    lab.accept(owner="ann")
    done = lab.done(owner="ann")

    assert lab.store.accept(lab.new_job(owner="ann"), None, Caps(owner=1)) == Full(
        "owner"
    )
    assert lab.store.accept(lab.new_job(owner="bob"), None, Caps(1, 1)) == Full("total")
    assert isinstance(
        lab.store.accept(lab.new_job(owner="bob"), None, Caps(1, 2)), Accepted
    )
    assert lab.status(done) == "completed"


def test_a_full_house_still_answers_a_repeated_request(lab: Lab) -> None:
    first = lab.accept(idempotency=Idempotency("k", "print"))
    again = lab.store.accept(lab.new_job(), Idempotency("k", "print"), Caps(total=1))
    assert again == Accepted(first, created=False, bells=[])


def test_lists_are_newest_first_and_paged_without_gap(lab: Lab) -> None:
    made = [lab.accept(owner="ann") for _ in range(7)]
    lab.accept(owner="bob")

    seen: list[str] = []
    cursor = None
    for _ in range(3):
        jobs, cursor = lab.store.list("ann", limit=3, cursor=cursor)
        seen += [job.id for job in jobs]

    # those of one millisecond are in the order of their ids, and these grow
    assert seen == made[::-1]
    assert cursor is None
    assert len(lab.store.list(None)[0]) == 8


def test_a_page_that_ends_the_list_has_no_next(lab: Lab) -> None:
    for _ in range(3):
        lab.accept()
    assert lab.store.list("", limit=3)[1] is None


def test_lists_are_filtered_by_status(lab: Lab) -> None:
    waiting, done = lab.accept(), lab.done()
    assert [job.id for job in lab.store.list("", status="accepted")[0]] == [waiting]
    assert [job.id for job in lab.store.list(None, status="completed")[0]] == [done]
    assert lab.store.list("", status="processing") == ([], None)


@pytest.mark.parametrize("cursor", ["", "!", "AAAA", "é", "x" * 500])
def test_a_foreign_cursor_is_invalid(lab: Lab, cursor: str) -> None:
    with pytest.raises(Invalid) as caught:
        lab.store.list("", cursor=cursor)
    assert caught.value.faults[0]["pointer"] == "/cursor"


def test_waiting_ends_with_the_job(lab: Lab) -> None:
    job_id = lab.opened()
    began = time.monotonic()
    worker = threading.Timer(0.2, lab.make, [f"{job_id}:o:poster"])
    worker.start()

    job = lab.store.wait(job_id, 200)

    worker.join()
    assert job is not None
    assert job.status == "completed"
    assert time.monotonic() - began < 100


def test_waiting_ends_with_its_time(lab: Lab) -> None:
    job_id = lab.accept()
    started = time.monotonic()
    job = lab.store.wait(job_id, 0.2)
    assert job is not None
    assert job.status == "accepted"
    assert 0.15 < time.monotonic() - started < 20


def test_events_are_read_after_a_line(lab: Lab) -> None:
    job_id = lab.done()
    events = lab.store.events(job_id)
    assert [event.type for event in events] == [
        "job.accepted",
        "job.processing",
        "job.probed",
        "output.running",
        "output.succeeded",
        "job.completed",
    ]
    rest = lab.store.events(job_id, events[3].id)
    assert [event.id for event in rest] == [event.id for event in events[4:]]
    assert lab.store.events(job_id, None, 2) == events[:2]
    with pytest.raises(Invalid):
        lab.store.events(job_id, "x")


def test_the_version_grows_with_every_visible_change(lab: Lab) -> None:
    job_id = lab.opened()
    versions = [lab.get(job_id).version]
    claim = lab.claim(f"{job_id}:o:poster")
    versions.append(lab.get(job_id).version)
    lab.store.beat(claim, 10.0)
    versions.append(lab.get(job_id).version)
    lab.store.beat(claim, 10.0)
    assert lab.get(job_id).version == versions[-1]
    lab.store.release(claim, "retry", error=BAD)
    versions.append(lab.get(job_id).version)
    assert versions == sorted(set(versions))


def test_a_queued_job_is_cancelled_at_once(lab: Lab) -> None:
    job_id = lab.accept("one", "two")
    assert lab.store.cancel(job_id).job_ended
    assert lab.status(job_id) == "cancelled"
    assert lab.states(job_id) == ["cancelled", "cancelled"]
    assert lab.store.claim(f"{job_id}:prepare", "t", "w") == Refusal("done")


def test_a_running_output_hears_of_its_cancel_by_the_next_beat(lab: Lab) -> None:
    job_id = lab.opened("one", "two")
    claim = lab.claim(f"{job_id}:o:one")

    outcome = lab.store.cancel(job_id)

    assert not outcome.job_ended
    assert lab.states(job_id) == ["running", "cancelled"]
    assert lab.store.beat(claim, 5.0) == "cancel"
    assert lab.store.release(claim, "cancelled").job_ended
    assert lab.status(job_id) == "cancelled"


def test_work_that_ends_after_its_cancel_is_not_published(lab: Lab) -> None:
    job_id = lab.opened()
    claim = lab.claim(f"{job_id}:o:poster")
    lab.store.cancel(job_id)

    outcome = lab.store.finish(claim, [])

    assert (outcome.applied, outcome.job_ended) == (False, True)
    assert lab.status(job_id) == "cancelled"


def test_a_running_prepare_opens_nothing_after_its_cancel(lab: Lab) -> None:
    job_id = lab.accept()
    claim = lab.claim(f"{job_id}:prepare")
    assert lab.store.cancel(job_id).job_ended
    assert lab.store.beat(claim) == "cancel"
    outcome = lab.store.open(claim, MEDIA, claim.source, {"poster": Opening()})
    assert not outcome.applied
    assert lab.states(job_id) == ["cancelled"]


def test_an_ended_job_can_not_be_cancelled(lab: Lab) -> None:
    job_id = lab.done()
    with pytest.raises(Conflict):
        lab.store.cancel(job_id)


def test_cancelling_after_a_success_leaves_a_partial_job(lab: Lab) -> None:
    job_id = lab.opened("one", "two")
    lab.make(f"{job_id}:o:one")
    lab.store.cancel(job_id)
    assert lab.status(job_id) == "partial"


def test_retry_runs_only_what_failed_under_the_same_id(lab: Lab) -> None:
    job_id = lab.opened("good", "bad")
    lab.make(f"{job_id}:o:good")
    lab.ruin(f"{job_id}:o:bad")
    assert lab.status(job_id) == "partial"

    outcome = lab.store.retry(job_id)

    assert [bell.piece for bell in outcome.bells] == [f"{job_id}:o:bad"]
    job = lab.get(job_id)
    assert (job.status, job.finished_at, job.expires_at) == ("accepted", None, None)
    assert [output.status for output in job.outputs] == ["succeeded", "queued"]
    assert job.outputs[1].error is None
    lab.make(f"{job_id}:o:bad")
    assert lab.status(job_id) == "completed"


def test_retry_after_a_failed_prepare_prepares_again(lab: Lab) -> None:
    job_id = lab.accept("one", "two")
    lab.ruin(f"{job_id}:prepare")
    assert lab.get(job_id).error == BAD

    outcome = lab.store.retry(job_id)

    assert [bell.piece for bell in outcome.bells] == [f"{job_id}:prepare"]
    assert lab.get(job_id).error is None
    lab.open(job_id)
    lab.make(f"{job_id}:o:one")
    lab.make(f"{job_id}:o:two")
    assert lab.status(job_id) == "completed"


def test_the_fence_grows_across_retries(lab: Lab) -> None:
    job_id = lab.opened("bad")
    fences = []
    for _ in range(3):
        claim = lab.claim(f"{job_id}:o:bad")
        fences.append(claim.fence)
        lab.store.release(claim, "fatal", error=BAD)
        lab.store.retry(job_id)
    assert fences == sorted(set(fences))


def test_retry_takes_a_cancelled_claim_away(lab: Lab) -> None:
    job_id = lab.accept()
    old = lab.claim(f"{job_id}:prepare")
    lab.store.cancel(job_id)

    lab.store.retry(job_id)

    assert lab.store.beat(old) == "lost"
    lab.open(job_id)
    assert lab.states(job_id) == ["queued"]


@pytest.mark.parametrize("state", ["queued", "completed"])
def test_retry_without_anything_failed_is_a_conflict(lab: Lab, state: str) -> None:
    job_id = lab.done() if state == "completed" else lab.accept()
    with pytest.raises(Conflict):
        lab.store.retry(job_id)


def test_a_deleted_job_is_gone_with_its_pieces(lab: Lab) -> None:
    job_id = lab.opened("one", "two")
    claim = lab.claim(f"{job_id}:o:one")

    record = lab.store.delete(job_id).job

    assert record.id == job_id
    assert record.source.key == f"in/{job_id}/source"
    assert lab.store.get(job_id) is None
    assert lab.store.list() == ([], None)
    assert lab.store.beat(claim) == "lost"
    assert lab.store.claim(f"{job_id}:o:two", "t", "w") == Refusal("gone")
    assert not lab.store.finish(claim, []).applied
    held = {"leased", "pending:fast", "queued:fast", f"job:{job_id}"}
    assert not held & set(lab.snapshot())


def test_only_ended_jobs_carry_a_ttl(lab: Lab) -> None:
    job_id = lab.opened("one", "two")
    lab.ruin(f"{job_id}:o:one")
    assert not [name for name, (_, ttl) in lab.snapshot().items() if ttl]

    lab.ruin(f"{job_id}:o:two")

    expiring = {name for name, (_, ttl) in lab.snapshot().items() if ttl}
    assert expiring == {
        f"job:{job_id}",
        f"events:{job_id}",
        f"piece:{job_id}:prepare",
        f"piece:{job_id}:o:one",
        f"piece:{job_id}:o:two",
    }
    job = lab.get(job_id)
    assert job.finished_at is not None
    assert job.expires_at == job.finished_at + 168 * 3_600_000

    lab.store.retry(job_id)
    assert not [name for name, (_, ttl) in lab.snapshot().items() if ttl]


def test_a_failed_job_says_why(lab: Lab) -> None:
    job_id = lab.opened("one", "two")
    lab.ruin(f"{job_id}:o:one")
    lab.ruin(f"{job_id}:o:two")
    job = lab.get(job_id)
    assert job.status == "failed"
    assert job.error == BAD


def test_a_bad_source_fails_the_job_and_each_output_alike(lab: Lab) -> None:
    job_id = lab.accept("one", "two")
    outcome = lab.ruin(f"{job_id}:prepare")
    job = lab.get(job_id)
    assert outcome.job_ended
    assert job.status == "failed"
    assert [job.error, *(output.error for output in job.outputs)] == [BAD] * 3


def test_a_source_by_url_is_kept_as_prepare_pinned_it(lab: Lab) -> None:
    job_id = lab.accept(source=Source(kind="url", url="https://example.com/a.mp4"))
    claim = lab.claim(f"{job_id}:prepare")
    pinned = Source(kind="upload", key=f"in/{job_id}/source", etag="e", size=4)
    lab.store.open(claim, MEDIA, pinned, {"poster": Opening()}, warnings=["w"])
    job = lab.get(job_id)
    assert (job.source, job.media, job.warnings) == (pinned, MEDIA, ["w"])
    assert lab.claim(f"{job_id}:o:poster").source == pinned
