"""Notices: made with their event, claimed like any task, kept in a log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from common.errors import Conflict, NotFound
from common.jobs.store import Accepted, Refusal
from common.model import AttemptReport
from common.notify.subscriptions import Subscription
from common.settings.sections import Webhooks
from tests.common.jobs.store.context import BAD, StoreContext

ALL_OF_JOB = {"id": "s1", "type": "webhook", "events": ["job.*"], "url": "https://x/"}


def ends(*events: str) -> dict[str, Any]:
    return {"subscriptions": [ALL_OF_JOB | {"events": list(events)}]}


def test_an_event_makes_its_delivery_in_the_same_call(
    store_context: StoreContext,
) -> None:
    accepted = store_context.store.accept(
        store_context.new_job(subscriptions=[ALL_OF_JOB])
    )
    assert isinstance(accepted, Accepted)
    delivery = f"{accepted.job_id}:n:1"
    assert [(message.task, message.kind) for message in accepted.messages][1:] == [
        (delivery, "notice")
    ]
    claim = store_context.claim(delivery)
    assert claim.kind == "notice"
    assert claim.delivery is not None
    assert claim.delivery.subscription == Subscription(**ALL_OF_JOB)
    assert claim.delivery.event.type == "job.accepted"
    assert claim.delivery.event.id == store_context.store.events(accepted.job_id)[0].id


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
    store_context: StoreContext, events: list[str], expected: list[str] | int
) -> None:
    store_context.done(**ends(*events))
    told = [delivery.event.type for delivery in store_context.store.deliveries("")[0]][
        ::-1
    ]
    assert told == expected or len(told) == expected


def test_a_claim_brings_the_messages_of_its_deliveries(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept(**ends("job.processing"))
    claim = store_context.claim(f"{job_id}:prepare", "t")
    sent_twice = type(store_context.store).__name__ == "TwiceStore"
    assert [message.task for message in claim.messages] == (
        [] if sent_twice else [f"{job_id}:n:1"]
    )


def test_a_delivery_does_not_touch_its_job(store_context: StoreContext) -> None:
    job_id = store_context.done(**ends("job.completed"))
    before = store_context.get(job_id)
    assert store_context.ruin(f"{job_id}:n:1").job_ended is False
    assert store_context.get(job_id) == before
    assert store_context.store.list(status="completed")[0] == [before]


def test_a_delivery_has_attempts_of_its_own(
    make_store_context: Callable[..., StoreContext],
) -> None:
    store_context = make_store_context(webhooks=Webhooks(retry_seconds=[1, 1]))
    delivery = f"{store_context.done(**ends('job.completed'))}:n:1"
    for attempt in range(1, 4):
        claim = store_context.claim(delivery)
        assert claim.attempt == attempt
        report = AttemptReport(attempt=attempt, rung="webhook", error=BAD)
        store_context.store.release(claim, "retry", error=BAD, reports=[report])
    assert store_context.store.claim(delivery, "x", "w") == Refusal("done")
    record = store_context.store.delivery(delivery)
    assert record is not None
    assert (record.state, record.error, len(record.attempts)) == ("failed", BAD, 3)


def test_a_delivery_outlives_its_job(store_context: StoreContext) -> None:
    job_id = store_context.done(**ends("job.completed"))
    store_context.store.delete(job_id)
    claim = store_context.claim(f"{job_id}:n:1")
    assert claim.source.key == f"in/{job_id}/source"
    assert store_context.store.finish(claim, result={"status": 204}).applied
    record = store_context.store.delivery(f"{job_id}:n:1")
    assert record is not None
    assert (record.state, record.result) == ("succeeded", {"status": 204})


def test_an_ended_delivery_expires_and_an_open_one_does_not(
    store_context: StoreContext,
) -> None:
    delivery = f"{store_context.done(**ends('job.completed'))}:n:1"
    key = store_context.key(f"piece:{delivery}")
    assert store_context.client.ttl(key) == -1
    store_context.make(delivery)
    assert store_context.client.ttl(key) > 29 * 24 * 3600

    store_context.has_run_out(
        next(
            iter(
                store_context.client.zscan_iter(store_context.key("chores"), "notice:*")
            )
        )[0]
    )
    store_context.client.delete(key)
    store_context.store.finish_cleanup(store_context.store.cleanups()[0])
    assert not {"notices", "notices:"} & set(store_context.snapshot())


def test_a_lost_delivery_goes_back_to_its_queue(store_context: StoreContext) -> None:
    delivery = f"{store_context.done(**ends('job.completed'))}:n:1"
    store_context.claim(delivery)
    store_context.reaper_was_here()
    store_context.expire(delivery)
    assert [message.task for message in store_context.store.reap().messages] == [
        delivery
    ]
    assert store_context.claim(delivery).lost == 1


def test_the_log_belongs_to_its_owner_and_is_paged(store_context: StoreContext) -> None:
    for _ in range(3):
        store_context.done(owner="ann", **ends("job.completed"))
    store_context.done(owner="bob", **ends("job.completed"))
    first, cursor = store_context.store.deliveries("ann", limit=2)
    rest, end = store_context.store.deliveries("ann", limit=2, cursor=cursor)
    assert (len(first), len(rest), end) == (2, 1, None)
    assert len(store_context.store.deliveries(None)[0]) == 4
    assert store_context.store.delivery("f" * 32 + ":n:1") is None


def test_an_ended_delivery_is_replayed(store_context: StoreContext) -> None:
    delivery = f"{store_context.done(**ends('job.completed'))}:n:1"
    with pytest.raises(Conflict):
        store_context.store.replay_delivery(delivery)
    old = store_context.claim(delivery)
    store_context.store.finish(old)

    outcome = store_context.store.replay_delivery(delivery)

    assert [message.task for message in outcome.messages] == [delivery]
    assert store_context.client.ttl(store_context.key(f"piece:{delivery}")) == -1
    again = store_context.claim(delivery)
    assert (again.attempt, again.fence > old.fence) == (1, True)
    with pytest.raises(NotFound):
        store_context.store.replay_delivery("f" * 32 + ":n:1")


def test_a_subscription_of_an_older_version_is_read(
    store_context: StoreContext,
) -> None:
    old = {"id": "s2", "events": ["*"], "type": "email", "to": "a@b.test", "more": 1}
    job_id = store_context.accept()
    stored = json.dumps([{"events": ["*"], "raw": json.dumps(old)}])
    key = store_context.key(f"job:{job_id}")
    store_context.client.hset(key, "subscriptions", stored)
    store_context.store.cancel(job_id)
    claim = store_context.claim(f"{job_id}:n:1")
    assert claim.delivery is not None
    assert claim.delivery.subscription == Subscription(
        id="s2", type="email", events=["*"], to="a@b.test"
    )


def test_a_subscription_is_stored_as_older_versions_read_it(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept(subscriptions=[ALL_OF_JOB])
    key = store_context.key(f"job:{job_id}")
    (stored,) = json.loads(store_context.client.hget(key, "subscriptions"))
    assert stored["events"] == ["job.*"]
    assert json.loads(stored["raw"]) == ALL_OF_JOB
