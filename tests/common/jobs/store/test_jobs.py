"""Jobs: accepted, read, listed, waited for, cancelled, retried, deleted."""

from __future__ import annotations

import json
import threading
import time

import pytest

from common.errors import Conflict, IdempotencyMismatch, Invalid, NotFound
from common.jobs.store import (
    Accepted,
    Caps,
    Full,
    Idempotency,
    JobStore,
    Opening,
    Refusal,
    connection,
)
from common.model import Destination, JobOptions, Source
from tests.common.jobs.store.context import BAD, MEDIA, StoreContext

OPTIONS = JobOptions(
    max_bytes=5, max_seconds=2.0, dedupe=True, destination=Destination(bucket="b")
)


def test_an_accepted_job_is_on_record_as_it_was_given(
    store_context: StoreContext,
) -> None:
    # values that Lua's JSON would spoil: a whole float, an empty list, a large integer
    odd = {
        "a": 1.0,
        "b": [],
        "c": {},
        "d": 12345678901234567890,
        "e": "ü😀 /",
    }
    new = store_context.new_job("poster", metadata=odd, options=OPTIONS)

    accepted = store_context.store.accept(new)

    assert isinstance(accepted, Accepted)
    assert accepted.created
    assert [message.task for message in accepted.messages] == [f"{new.id}:prepare"]
    job = store_context.get(new.id)
    assert (job.status, job.version, job.progress) == ("accepted", 1, 0)
    assert repr(job.metadata) == repr(odd)
    assert job.options == OPTIONS
    assert job.source == new.source
    assert [output.status for output in job.outputs] == ["queued"]
    assert store_context.events(new.id) == ["job.accepted"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_have_is_not_stored(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        connection.dump({"a": [number]})


def test_a_text_that_names_such_a_number_is_stored_as_it_is() -> None:
    texts = ["NaN", "Infinity", "-Infinity", "\U0001f600 \u2028 \x7f"]

    written = connection.dump(texts)

    assert written.isascii()
    assert json.loads(written) == texts


def test_the_options_of_a_job_are_stored_as_older_versions_read_them(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept(options=OPTIONS)
    stored = store_context.client.hget(store_context.key(f"job:{job_id}"), "options")
    assert json.loads(stored) == {
        "max_bytes": 5,
        "max_seconds": 2.0,
        "dedupe": True,
        "destination": {
            "bucket": "b",
            "prefix": "",
            "cache_control": None,
            "acl": None,
            "tags": {},
        },
    }
    plain = store_context.accept()
    key = store_context.key(f"job:{plain}")
    assert store_context.client.hget(key, "options") == "{}"


def test_the_options_of_an_older_or_newer_version_are_read(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept()
    stored = {"max_bytes": 7, "destination": {"bucket": "b"}, "from_later": 1}
    key = store_context.key(f"job:{job_id}")
    store_context.client.hset(key, "options", json.dumps(stored))
    expected = JobOptions(max_bytes=7, destination=Destination(bucket="b"))
    assert store_context.get(job_id).options == expected


def test_a_lone_surrogate_in_metadata_comes_back(store_context: StoreContext) -> None:
    job_id = store_context.accept(metadata={"name": "\ud800"})
    assert store_context.get(job_id).metadata == {"name": "\ud800"}


def test_an_unknown_job_is_none(store_context: StoreContext) -> None:
    assert store_context.store.get("f" * 32) is None
    assert store_context.store.wait("f" * 32, 5) is None
    for verb in (
        store_context.store.cancel,
        store_context.store.retry,
        store_context.store.delete,
    ):
        with pytest.raises(NotFound):
            verb("f" * 32)


def test_the_same_key_and_fingerprint_give_the_same_job(
    store_context: StoreContext,
) -> None:
    first = store_context.accept(idempotency=Idempotency("k", "print"))

    second = store_context.store.accept(
        store_context.new_job(), Idempotency("k", "print")
    )

    assert second == Accepted(first, created=False, messages=[])
    assert len(store_context.store.list()[0]) == 1


def test_the_same_key_with_another_fingerprint_is_refused(
    store_context: StoreContext,
) -> None:
    store_context.accept(idempotency=Idempotency("k", "print"))
    with pytest.raises(IdempotencyMismatch):
        store_context.store.accept(store_context.new_job(), Idempotency("k", "other"))


def test_idempotency_keys_belong_to_their_owner(store_context: StoreContext) -> None:
    first = store_context.accept(owner="ann", idempotency=Idempotency("k", "print"))
    second = store_context.accept(owner="bob", idempotency=Idempotency("k", "print"))
    assert first != second


def test_the_key_of_a_deleted_job_is_free_again(store_context: StoreContext) -> None:
    first = store_context.accept(idempotency=Idempotency("k", "print"))
    store_context.store.delete(first)
    assert store_context.accept(idempotency=Idempotency("k", "other")) != first


@pytest.mark.parametrize(("requested", "hours"), [(None, 24), (360, 360)])
def test_an_idempotency_key_expires(
    store_context: StoreContext, requested: float | None, hours: int
) -> None:
    store_context.accept(idempotency=Idempotency("k", "print", requested))
    (key,) = store_context.client.scan_iter(store_context.key("idem:*"))
    assert hours - 1 < store_context.client.ttl(key) / 3600 <= hours


def test_another_call_with_the_same_id_makes_no_second_job(
    store_context: StoreContext,
) -> None:
    new = store_context.new_job()
    store_context.store.accept(new)
    again = store_context.store.accept(new)
    assert again == Accepted(new.id, created=False, messages=[])


def test_who_has_waited_too_long_gets_no_more_jobs(
    store_context: StoreContext,
) -> None:
    task = f"{store_context.accept(owner='ann')}:prepare"
    queued = store_context.key("queued:fast")
    store_context.client.zincrby(queued, -23 * 3600_000, task)
    assert store_context.accept(owner="ann")

    store_context.client.zincrby(queued, -2 * 3600_000, task)

    refused = store_context.store.accept(store_context.new_job(owner="ann"))
    assert refused == Full("wait")
    assert store_context.accept(owner="bob")
    store_context.claim(task)
    assert store_context.accept(owner="ann")


def test_caps_count_unfinished_jobs(store_context: StoreContext) -> None:
    store_context.accept(owner="ann")
    done = store_context.done(owner="ann")

    assert store_context.store.accept(
        store_context.new_job(owner="ann"), None, Caps(owner=1)
    ) == Full("owner")
    assert store_context.store.accept(
        store_context.new_job(owner="bob"), None, Caps(1, 1)
    ) == Full("total")
    assert isinstance(
        store_context.store.accept(
            store_context.new_job(owner="bob"), None, Caps(1, 2)
        ),
        Accepted,
    )
    assert store_context.status(done) == "completed"


def test_a_full_house_still_answers_a_repeated_request(
    store_context: StoreContext,
) -> None:
    first = store_context.accept(idempotency=Idempotency("k", "print"))
    again = store_context.store.accept(
        store_context.new_job(), Idempotency("k", "print"), Caps(total=1)
    )
    assert again == Accepted(first, created=False, messages=[])


def test_lists_are_newest_first_and_paged_without_gap(
    store_context: StoreContext,
) -> None:
    made = [store_context.accept(owner="ann") for _ in range(7)]
    store_context.accept(owner="bob")

    seen: list[str] = []
    cursor = None
    for _ in range(3):
        jobs, cursor = store_context.store.list("ann", limit=3, cursor=cursor)
        seen += [job.id for job in jobs]

    # those of one millisecond are in the order of their ids, and these grow
    assert seen == made[::-1]
    assert cursor is None
    assert len(store_context.store.list(None)[0]) == 8


def test_a_page_that_ends_the_list_has_no_next(store_context: StoreContext) -> None:
    for _ in range(3):
        store_context.accept()
    assert store_context.store.list("", limit=3)[1] is None


def test_lists_are_filtered_by_status(store_context: StoreContext) -> None:
    waiting, done = store_context.accept(), store_context.done()
    assert [job.id for job in store_context.store.list("", status="accepted")[0]] == [
        waiting
    ]
    assert [
        job.id for job in store_context.store.list(None, status="completed")[0]
    ] == [done]
    assert store_context.store.list("", status="processing") == ([], None)


@pytest.mark.parametrize("cursor", ["", "!", "AAAA", "é", "x" * 500])
def test_a_foreign_cursor_is_invalid(store_context: StoreContext, cursor: str) -> None:
    with pytest.raises(Invalid) as caught:
        store_context.store.list("", cursor=cursor)
    assert caught.value.faults[0]["pointer"] == "/cursor"


def test_waiting_ends_with_the_job(store_context: StoreContext) -> None:
    job_id = store_context.opened()
    began = time.monotonic()
    worker = threading.Timer(0.2, store_context.make, [f"{job_id}:o:poster"])
    worker.start()

    job = store_context.store.wait(job_id, 200)

    worker.join()
    assert job is not None
    assert job.status == "completed"
    assert time.monotonic() - began < 100


def test_waiting_ends_with_its_time(store_context: StoreContext) -> None:
    job_id = store_context.accept()
    started = time.monotonic()
    job = store_context.store.wait(job_id, 0.2)
    assert job is not None
    assert job.status == "accepted"
    assert 0.15 < time.monotonic() - started < 20


def test_events_are_read_after_a_line(store_context: StoreContext) -> None:
    job_id = store_context.done()
    events = store_context.store.events(job_id)
    assert [event.type for event in events] == [
        "job.accepted",
        "job.processing",
        "job.probed",
        "output.running",
        "output.succeeded",
        "job.completed",
    ]
    rest = store_context.store.events(job_id, events[3].id)
    assert [event.id for event in rest] == [event.id for event in events[4:]]
    assert store_context.store.events(job_id, None, 2) == events[:2]
    with pytest.raises(Invalid):
        store_context.store.events(job_id, "x")


def test_a_history_keeps_its_newest_events_alone(
    store_context: StoreContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MAX_EVENTS", 7)
    plain = store_context.store
    store = JobStore(plain.settings, plain._client)
    job_id = store_context.accept()

    for _ in range(5):
        store.cancel(job_id)
        store.retry(job_id, Caps())

    kept = store_context.client.xrange(store_context.key(f"events:{job_id}"))
    assert len(kept) == 7
    assert kept[-1][1]["type"] == store.events(job_id)[-1].type == "job.retried"


def test_the_version_grows_with_every_visible_change(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    versions = [store_context.get(job_id).version]
    claim = store_context.claim(f"{job_id}:o:poster")
    versions.append(store_context.get(job_id).version)
    store_context.store.beat(claim, 10.0)
    versions.append(store_context.get(job_id).version)
    store_context.store.beat(claim, 10.0)
    assert store_context.get(job_id).version == versions[-1]
    store_context.store.release(claim, "retry", error=BAD)
    versions.append(store_context.get(job_id).version)
    assert versions == sorted(set(versions))


def test_a_queued_job_is_cancelled_at_once(store_context: StoreContext) -> None:
    job_id = store_context.accept("one", "two")
    assert store_context.store.cancel(job_id).job_ended
    assert store_context.status(job_id) == "cancelled"
    assert store_context.states(job_id) == ["cancelled", "cancelled"]
    assert store_context.store.claim(f"{job_id}:prepare", "t", "w") == Refusal("done")


def test_a_running_output_hears_of_its_cancel_by_the_next_beat(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened("one", "two")
    claim = store_context.claim(f"{job_id}:o:one")

    outcome = store_context.store.cancel(job_id)

    assert not outcome.job_ended
    assert store_context.states(job_id) == ["running", "cancelled"]
    assert store_context.store.beat(claim, 5.0) == "cancel"
    assert store_context.store.release(claim, "cancelled").job_ended
    assert store_context.status(job_id) == "cancelled"


def test_work_that_ends_after_its_cancel_is_not_published(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    claim = store_context.claim(f"{job_id}:o:poster")
    store_context.store.cancel(job_id)

    outcome = store_context.store.finish(claim, [])

    assert (outcome.applied, outcome.job_ended) == (False, True)
    assert store_context.status(job_id) == "cancelled"


def test_a_running_prepare_opens_nothing_after_its_cancel(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept()
    claim = store_context.claim(f"{job_id}:prepare")
    assert store_context.store.cancel(job_id).job_ended
    assert store_context.store.beat(claim) == "cancel"
    outcome = store_context.store.open(
        claim, MEDIA, claim.source, {"poster": Opening()}
    )
    assert not outcome.applied
    assert store_context.states(job_id) == ["cancelled"]


def test_an_ended_job_can_not_be_cancelled(store_context: StoreContext) -> None:
    job_id = store_context.done()
    with pytest.raises(Conflict):
        store_context.store.cancel(job_id)


def test_cancelling_after_a_success_leaves_a_partial_job(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened("one", "two")
    store_context.make(f"{job_id}:o:one")
    store_context.store.cancel(job_id)
    assert store_context.status(job_id) == "partial"


def test_retry_runs_only_what_failed_under_the_same_id(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened("good", "bad")
    store_context.make(f"{job_id}:o:good")
    store_context.ruin(f"{job_id}:o:bad")
    assert store_context.status(job_id) == "partial"

    outcome = store_context.store.retry(job_id)

    assert [message.task for message in outcome.messages] == [f"{job_id}:o:bad"]
    job = store_context.get(job_id)
    assert (job.status, job.finished_at, job.expires_at) == ("accepted", None, None)
    assert [output.status for output in job.outputs] == ["succeeded", "queued"]
    assert job.outputs[1].error is None
    store_context.make(f"{job_id}:o:bad")
    assert store_context.status(job_id) == "completed"


def test_retry_after_a_failed_prepare_prepares_again(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("one", "two")
    store_context.ruin(f"{job_id}:prepare")
    assert store_context.get(job_id).error == BAD

    outcome = store_context.store.retry(job_id)

    assert [message.task for message in outcome.messages] == [f"{job_id}:prepare"]
    assert store_context.get(job_id).error is None
    store_context.open(job_id)
    store_context.make(f"{job_id}:o:one")
    store_context.make(f"{job_id}:o:two")
    assert store_context.status(job_id) == "completed"


def test_the_fence_grows_across_retries(store_context: StoreContext) -> None:
    job_id = store_context.opened("bad")
    fences = []
    for _ in range(3):
        claim = store_context.claim(f"{job_id}:o:bad")
        fences.append(claim.fence)
        store_context.store.release(claim, "fatal", error=BAD)
        store_context.store.retry(job_id)
    assert fences == sorted(set(fences))


def test_retry_takes_a_cancelled_claim_away(store_context: StoreContext) -> None:
    job_id = store_context.accept()
    old = store_context.claim(f"{job_id}:prepare")
    store_context.store.cancel(job_id)

    store_context.store.retry(job_id)

    assert store_context.store.beat(old) == "lost"
    store_context.open(job_id)
    assert store_context.states(job_id) == ["queued"]


@pytest.mark.parametrize("state", ["queued", "completed"])
def test_retry_without_anything_failed_is_a_conflict(
    store_context: StoreContext, state: str
) -> None:
    job_id = store_context.done() if state == "completed" else store_context.accept()
    with pytest.raises(Conflict):
        store_context.store.retry(job_id)


def test_a_deleted_job_is_gone_with_its_tasks(store_context: StoreContext) -> None:
    job_id = store_context.opened("one", "two")
    claim = store_context.claim(f"{job_id}:o:one")

    record = store_context.store.delete(job_id).job

    assert record.id == job_id
    assert record.source.key == f"in/{job_id}/source"
    assert store_context.store.get(job_id) is None
    assert store_context.store.list() == ([], None)
    assert store_context.store.beat(claim) == "lost"
    assert store_context.store.claim(f"{job_id}:o:two", "t", "w") == Refusal("gone")
    assert not store_context.store.finish(claim, []).applied
    held = {"leased", "pending:fast", "queued:fast", f"job:{job_id}"}
    assert not held & set(store_context.snapshot())


def expiring(store_context: StoreContext) -> set[str]:
    """Return the keys with a TTL, but for what was counted of the last hour."""
    found = {name for name, (_, ttl) in store_context.snapshot().items() if ttl}
    return {name for name in found if not name.startswith("minute:")}


def test_only_ended_jobs_carry_a_ttl(store_context: StoreContext) -> None:
    job_id = store_context.opened("one", "two")
    store_context.ruin(f"{job_id}:o:one")
    assert expiring(store_context) == set()

    store_context.ruin(f"{job_id}:o:two")

    assert expiring(store_context) == {
        f"job:{job_id}",
        f"events:{job_id}",
        f"piece:{job_id}:prepare",
        f"piece:{job_id}:o:one",
        f"piece:{job_id}:o:two",
    }
    job = store_context.get(job_id)
    assert job.finished_at is not None
    assert job.expires_at == job.finished_at + 168 * 3_600_000

    store_context.store.retry(job_id)
    assert expiring(store_context) == set()


def test_a_failed_job_says_why(store_context: StoreContext) -> None:
    job_id = store_context.opened("one", "two")
    store_context.ruin(f"{job_id}:o:one")
    store_context.ruin(f"{job_id}:o:two")
    job = store_context.get(job_id)
    assert job.status == "failed"
    assert job.error == BAD


def test_a_bad_source_fails_the_job_and_each_output_alike(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("one", "two")
    outcome = store_context.ruin(f"{job_id}:prepare")
    job = store_context.get(job_id)
    assert outcome.job_ended
    assert job.status == "failed"
    assert [job.error, *(output.error for output in job.outputs)] == [BAD] * 3


def test_a_source_by_url_is_kept_as_prepare_pinned_it(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept(
        source=Source(kind="url", url="https://example.com/a.mp4")
    )
    claim = store_context.claim(f"{job_id}:prepare")
    pinned = Source(kind="upload", key=f"in/{job_id}/source", etag="e", size=4)
    store_context.store.open(
        claim, MEDIA, pinned, {"poster": Opening()}, warnings=["w"]
    )
    job = store_context.get(job_id)
    assert (job.source, job.media, job.warnings) == (pinned, MEDIA, ["w"])
    assert store_context.claim(f"{job_id}:o:poster").source == pinned
