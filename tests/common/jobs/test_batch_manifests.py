"""Batches that outlive the job store, with those of their jobs that do."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from common.errors import StorageUnavailable, StoreUnavailable
from common.jobs.batches import Batches, BatchSubmission
from common.jobs.store import Accepted, CalledOff, Full, JobStore
from common.model import BatchRecord, Source
from common.notify.subscriptions import Subscription
from common.outputs.specs import ThumbnailSpec
from common.redis.client import open_client
from tests.common import valkey
from tests.common.jobs.installation import HOOK, Installation, durable
from tests.common.jobs.store.context import StoreContext, make_settings
from tests.common.jobs.store.family import (
    accept_batch,
    batch,
    cancel,
    counts,
    expanded,
    fail,
    finish,
    leave,
)

SOURCES = [Source(kind="s3", bucket="framemill", key=f"films/{n}.mp4") for n in "abcd"]
STILL = ThumbnailSpec(kind="thumbnail")
NOT_COUNTED = {"version", "updated_at", "counts"}


class Expansion:
    """A batch of four sources whose jobs are made one by one, as the worker does."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.service = Batches(
            installation.store.settings,
            installation.store,
            installation.sent,
            installation.manifests,
        )

    def submit(self, **fields: Any) -> str:
        given = {"owner": "me", "sources": SOURCES, "outputs": [STILL]}
        return self.service.submit(BatchSubmission(**(given | fields))).batch.id

    def go_on(self, batch_id: str, most: int = 4) -> list[Accepted | Full | CalledOff]:
        """Make jobs from the cursor on, and end the stage after the last source."""
        store = self.installation.store
        claim = self.installation.context.claim(f"{batch_id}:batch")
        record = batch(self.installation.context, batch_id)
        first = int(record.cursor) + 1 if record.cursor else 0
        sources = store.batch_sources(batch_id, first, most)
        made = [
            self.service.make_job(claim, record, one, str(number))
            for number, one in enumerate(sources, first)
        ]
        if first + len(sources) == record.given:
            assert store.end_stage(claim, "expand") is not None
        return made


@pytest.fixture
def expansion(installation: Installation) -> Expansion:
    return Expansion(installation)


def plain(record: BatchRecord) -> dict[str, Any]:
    return record.model_dump(exclude=NOT_COUNTED)


def lose(installation: Installation) -> None:
    installation.manifests.sync()
    installation.lose_the_store()


def test_an_ended_batch_comes_back_as_it_was(installation: Installation) -> None:
    batch_id, jobs = expanded(installation.context, fail, fail, cancel)
    before = batch(installation.context, batch_id)
    assert before.status == "failed"
    lose(installation)
    done = installation.reconcile()
    assert (done.batches.back, sorted(done.ended)) == ([batch_id], sorted(jobs))
    after = batch(installation.context, batch_id)
    assert plain(after) == plain(before)
    assert after.counts == before.counts
    assert after.version > before.version
    assert installation.store.batches("")[0] == [after]
    assert installation.store.list(batch=batch_id)[0] != []
    assert installation.sent.messages == []
    ttl = installation.context.client.pexpiretime(
        installation.context.key(f"batch:{batch_id}")
    )
    assert ttl == before.expires_at
    assert installation.reconcile().batches.known == [batch_id]


def test_a_batch_goes_on_where_it_was(
    installation: Installation, expansion: Expansion
) -> None:
    batch_id = expansion.submit()
    installation.manifests.sync()
    expansion.go_on(batch_id, 2)
    lose(installation)
    done = installation.reconcile()
    assert done.batches.back == [batch_id]
    assert len(done.queued) == 2
    assert counts(installation.context, batch_id) == {"accepted": 2}
    assert f"{batch_id}:batch" in [one.task for one in installation.sent.messages]
    # The cursor of the manifest is an earlier one: those two are there already.
    made = expansion.go_on(batch_id)
    assert [isinstance(one, Accepted) and one.created for one in made] == [
        False,
        False,
        True,
        True,
    ]
    after = batch(installation.context, batch_id)
    assert (after.made, after.closed, after.counts["accepted"]) == (4, True, 4)


def test_a_job_that_was_deleted_is_not_made_again(
    installation: Installation, expansion: Expansion
) -> None:
    batch_id = expansion.submit()
    first, second = expansion.go_on(batch_id, 2)
    assert isinstance(first, Accepted)
    installation.store.delete(first.job_id)
    lose(installation)
    installation.reconcile()
    assert counts(installation.context, batch_id) == {"accepted": 1, "deleted": 1}
    assert len(expansion.go_on(batch_id)) == 2
    assert installation.store.get(first.job_id) is None
    assert batch(installation.context, batch_id).made == 4
    assert second is not None


def test_a_batch_ends_no_sooner_than_its_jobs_are_back(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id, _ = expanded(installation.context, fail, leave, leave)
    installation.manifests.sync()
    told = installation.context.key(f"events:{batch_id}")
    installation.lose_the_store()
    installation.manifests.read_batch(batch_id)
    with monkeypatch.context() as patch:
        patch.setattr(installation.store, "resume_batch", lambda _: [])
        installation.reconcile()
    (line,) = installation.context.client.xrange(told)
    assert line[1]["type"] == "batch.processing"
    again = installation.reconcile()
    assert again.batches.known == [batch_id]
    assert batch(installation.context, batch_id).status == "processing"
    for job in installation.store.list(batch=batch_id)[0]:
        if job.status == "accepted":
            finish(installation.context, job.id)
    assert batch(installation.context, batch_id).status == "partial"


def test_a_cancelled_batch_goes_on_to_cancel(installation: Installation) -> None:
    batch_id, (job_id, _) = expanded(installation.context, leave, fail)
    installation.store.cancel_batch(batch_id)
    lose(installation)
    installation.reconcile()
    assert batch(installation.context, batch_id).want == "cancel"
    claim = installation.context.claim(f"{batch_id}:batch")
    installation.store.cancel(job_id)
    installation.store.end_stage(claim, "cancel")
    assert batch(installation.context, batch_id).status == "failed"


def test_a_batch_that_is_being_deleted_is_not_shown_again(
    installation: Installation,
) -> None:
    batch_id, (job_id,) = expanded(installation.context, leave)
    installation.store.delete_batch(batch_id)
    lose(installation)
    installation.reconcile()
    assert installation.store.batch(batch_id) is None
    assert installation.store.batches("")[0] == []
    claim = installation.context.claim(f"{batch_id}:batch")
    installation.store.delete(job_id)
    installation.store.end_stage(claim, "delete")
    installation.manifests.sync()
    assert (installation.ids("batch"), installation.ids()) == ([], [])


def test_uploads_of_a_batch_are_kept_for_it(installation: Installation) -> None:
    batch_id = accept_batch(installation.context, "in/a/source", "in/b/source")
    lose(installation)
    installation.reconcile()
    users = installation.context.key("users:in/a/source")
    assert installation.context.client.smembers(users) == {batch_id}


def test_a_manifest_goes_with_its_batch(installation: Installation) -> None:
    batch_id, _ = expanded(installation.context, fail)
    installation.manifests.sync()
    assert installation.ids("batch") == [batch_id]
    installation.end_retention("batch", batch_id)
    installation.manifests.sync()
    assert installation.ids("batch") == []


def test_a_batch_past_its_retention_stays_away(installation: Installation) -> None:
    batch_id, _ = expanded(installation.context, fail)
    installation.manifests.sync()
    stored = installation.stored(batch_id, "batch")
    stored["batch"]["fields"]["expires"] = "1"
    installation.keep(f"batches/{batch_id}.json", json.dumps(stored).encode())
    installation.lose_the_store()
    assert installation.reconcile().batches.back == []
    assert installation.store.batch(batch_id) is None
    installation.manifests.sync()
    assert installation.ids("batch") == []


def test_subscribers_of_a_batch_are_encrypted(
    installation: Installation, make_installation: Callable[..., Installation]
) -> None:
    batch_id = accept_batch(
        installation.context,
        "in/a/source",
        subscriptions=[HOOK | {"events": ["batch.completed"]}],
    )
    installation.manifests.sync()
    text = json.dumps(installation.stored(batch_id, "batch"))
    assert HOOK["secret"] not in text
    assert HOOK["url"] not in text
    other = make_installation(api={"secret": "y" * 32})
    assert "FRAMEMILL_API_SECRET" in other.reconcile().batches.unreadable[batch_id]


def test_subscribers_of_its_jobs_are_encrypted_too(expansion: Expansion) -> None:
    hook = Subscription.model_validate(HOOK)
    batch_id = expansion.submit(job_subscriptions=[hook])
    expansion.installation.manifests.sync()
    text = json.dumps(expansion.installation.stored(batch_id, "batch"))
    assert HOOK["secret"] not in text


def test_storage_durability_stores_the_manifest_of_a_batch_first(
    installation: Installation,
) -> None:
    expansion = Expansion(durable(installation))
    batch_id = expansion.submit(metadata={"x": None})
    before = batch(installation.context, batch_id)
    assert installation.ids("batch") == [batch_id]
    installation.lose_the_store()
    assert installation.reconcile().batches.back == [batch_id]
    after = batch(installation.context, batch_id)
    times = {"created_at"}
    assert after.model_dump(exclude=NOT_COUNTED | times) == before.model_dump(
        exclude=NOT_COUNTED | times
    )
    assert all(isinstance(one, Accepted) for one in expansion.go_on(batch_id))


def test_a_batch_that_a_nearly_full_store_refused_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.jobs.reconcile._UNDER_WAY_SECONDS", 0)
    with valkey.running(tmp_path) as (url, _):
        settings = make_settings("b:", url, blobs={"path": tmp_path / "blobs"})
        client = open_client(settings)
        context = StoreContext(JobStore(settings, client), client)
        expansion = Expansion(durable(Installation(context)))
        client.setrange("filler", 20_000_000, "x")
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", round(used / 0.95))

        with pytest.raises(StoreUnavailable, match="nearly full"):
            expansion.submit()
        installation = expansion.installation
        assert len(installation.ids("batch")) == 1
        assert installation.reconcile().batches.back == []

        installation.manifests.sync()
        assert installation.ids("batch") == []


def test_without_storage_there_is_no_batch(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> AbstractContextManager[Any]:
        raise StorageUnavailable("away")

    monkeypatch.setattr(installation.blobs, "writer", away)
    with pytest.raises(StorageUnavailable):
        Expansion(durable(installation)).submit()
    assert installation.context.snapshot() == {}
