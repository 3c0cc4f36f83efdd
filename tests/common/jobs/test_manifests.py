"""Jobs that outlive their store: manifests, and what is restored from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from common.access.keys import DeclaredKey, KeyRecord, digest
from common.errors import StorageUnavailable
from common.jobs.manifests import manifest_key
from common.jobs.store import Caps, Full, Idempotency
from common.model import JobRecord
from common.notify.subscriptions import Subscription
from tests.common.jobs.installation import HOOK, Installation, durable
from tests.common.jobs.store.context import BAD, an_artifact


def plain(job: JobRecord) -> dict[str, Any]:
    """Write what of a job must be the same after a loss."""
    return job.model_dump(exclude={"version", "updated_at"})


def test_a_manifest_follows_its_job(installation: Installation) -> None:
    job_id = installation.context.accept(owner="me")
    assert installation.manifests.sync() == 1
    assert installation.stored(job_id)["job"]["status"] == "accepted"
    installation.context.open(job_id)
    installation.context.ruin(f"{job_id}:o:poster")
    assert installation.manifests.sync() == 1
    assert installation.stored(job_id)["job"]["status"] == "failed"
    installation.store.retry(job_id)
    assert installation.manifests.sync() == 1
    assert installation.stored(job_id)["job"]["status"] == "accepted"
    installation.store.delete(job_id)
    assert installation.manifests.sync() == 1
    assert installation.ids() == []
    assert installation.manifests.sync() == 0


def test_a_manifest_goes_with_retention(installation: Installation) -> None:
    job_id = installation.done()
    installation.manifests.sync()
    assert installation.ids() == [job_id]
    installation.end_retention("job", job_id)
    installation.manifests.sync()
    assert installation.ids() == []


def test_what_changes_while_it_is_stored_is_stored_again(
    installation: Installation,
) -> None:
    job_id = installation.context.accept()
    (due,) = installation.store.take_manifests(10)
    assert (due.kind, due.id) == ("job", job_id)
    assert installation.store.take_manifests(10) == []
    installation.store.cancel(job_id)
    assert installation.store.finish_manifests([due]) == 1
    (again,) = installation.store.take_manifests(10)
    assert again.id == job_id
    assert installation.store.finish_manifests([again]) == 0


def test_storage_that_is_away_leaves_it_due(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = installation.context.accept()

    def away(*_: object, **__: object) -> AbstractContextManager[Any]:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(installation.blobs, "writer", away)
        assert installation.manifests.sync() == 0
    installation.context.client.zadd(
        installation.context.key("manifests"), {f"job:{job_id}": 1}
    )
    assert installation.manifests.sync() == 1
    assert installation.ids() == [job_id]


def test_a_secret_is_encrypted(installation: Installation) -> None:
    job_id = installation.context.accept(subscriptions=[HOOK])
    installation.manifests.sync()
    text = json.dumps(installation.stored(job_id))
    assert HOOK["secret"] not in text
    assert HOOK["url"] not in text
    _, (subscription,) = installation.manifests.read(job_id)
    assert subscription.secret == HOOK["secret"]


def test_an_ended_job_comes_back_as_it_was(installation: Installation) -> None:
    job_id = installation.done("poster", "card")
    before = installation.context.get(job_id)
    installation.manifests.sync()
    installation.lose_the_store()
    done = installation.reconcile()
    assert done.ended == [job_id]
    after = installation.context.get(job_id)
    assert plain(after) == plain(before)
    assert after.version > before.version
    assert installation.store.list("me")[0] == [after]
    assert installation.store.search("me", "clip")[0] == [after]
    assert installation.context.events(job_id) == ["job.completed"]
    assert installation.sent.messages == []
    ttl = installation.context.client.pexpiretime(
        installation.context.key(f"job:{job_id}")
    )
    assert ttl == before.expires_at


def test_retention_goes_on_after_a_loss(installation: Installation) -> None:
    job_id = installation.done()
    due = installation.context.key("chores")
    before = installation.context.client.zrange(due, 0, -1, withscores=True)
    installation.manifests.sync()
    installation.lose_the_store()
    installation.reconcile()
    assert installation.context.client.zrange(due, 0, -1, withscores=True) == [
        one for one in before if not one[0].startswith("notice:")
    ]
    assert installation.context.get(job_id).source_kept


def test_an_unfinished_job_is_done_again(installation: Installation) -> None:
    job_id = installation.context.accept("a", "b", owner="me", metadata={"x": None})
    installation.keep(f"in/{job_id}/source")
    installation.context.open(job_id)
    old = installation.context.claim(f"{job_id}:o:a")
    before = installation.context.get(job_id)
    installation.manifests.sync()
    installation.lose_the_store()
    done = installation.reconcile()
    assert (done.queued, done.without_source) == ([job_id], [])
    after = installation.context.get(job_id)
    assert after.status == "accepted"
    assert after.created_at == before.created_at
    assert after.metadata == {"x": None}
    assert [one.task for one in installation.sent.messages] == [f"{job_id}:prepare"]
    assert not installation.store.finish(old, [an_artifact(old)]).applied
    installation.context.open(job_id)
    new = installation.context.claim(f"{job_id}:o:a")
    assert new.fence > old.fence + 1000


def test_a_failed_job_can_be_retried_after_a_loss(installation: Installation) -> None:
    job_id = installation.context.opened("a", "b")
    installation.context.make(f"{job_id}:o:a")
    installation.keep(installation.context.get(job_id).outputs[0].artifacts[0].key)
    installation.context.ruin(f"{job_id}:o:b")
    installation.manifests.sync()
    installation.lose_the_store()
    installation.reconcile()
    assert installation.context.status(job_id) == "partial"
    assert installation.context.get(job_id).outputs[1].error == BAD
    installation.store.retry(job_id)
    installation.context.make(f"{job_id}:o:b")
    assert installation.context.status(job_id) == "completed"


def test_a_job_that_failed_in_prepare_can_be_retried(
    installation: Installation,
) -> None:
    job_id = installation.context.accept()
    installation.context.ruin(f"{job_id}:prepare")
    installation.manifests.sync()
    installation.lose_the_store()
    installation.reconcile()
    assert installation.context.status(job_id) == "failed"
    installation.store.retry(job_id)
    installation.context.open(job_id)
    installation.context.make(f"{job_id}:o:poster")
    assert installation.context.status(job_id) == "completed"


def test_a_job_whose_files_are_gone_is_done_again(installation: Installation) -> None:
    job_id = installation.done()
    installation.manifests.sync()
    installation.lose_the_store()
    installation.blobs.delete_prefix(f"out/{job_id}/")
    installation.blobs.delete(f"in/{job_id}/source")
    done = installation.reconcile()
    assert done.remade == done.queued == done.without_source == [job_id]
    assert installation.context.status(job_id) == "accepted"


def test_a_second_run_does_nothing(installation: Installation) -> None:
    ids = {installation.done(), installation.context.accept()}
    installation.manifests.sync()
    installation.lose_the_store()
    installation.reconcile()
    installation.manifests.sync()
    before = installation.context.snapshot()
    done = installation.reconcile()
    assert set(done.known) == ids
    assert not done.ended + done.queued
    assert installation.context.snapshot() == before


def test_a_dry_run_changes_nothing(installation: Installation) -> None:
    ended, queued = installation.done(), installation.context.accept()
    installation.manifests.sync()
    installation.lose_the_store()
    done = installation.reconcile(dry=True)
    assert (done.ended, done.queued) == ([ended], [queued])
    assert installation.context.snapshot() == {}
    assert installation.sent.messages == []


def test_a_deleted_job_stays_deleted(installation: Installation) -> None:
    job_id = installation.done()
    installation.manifests.sync()
    installation.store.delete(job_id)
    assert installation.reconcile().leaving == [job_id]
    assert installation.store.get(job_id) is None
    installation.manifests.sync()
    assert installation.ids() == []


def test_a_job_past_its_retention_stays_away(installation: Installation) -> None:
    job_id = installation.done()
    old = installation.context.get(job_id).model_copy(update={"expires_at": 1})
    installation.lose_the_store()
    installation.manifests.put(old, [])
    assert installation.reconcile().leaving == [job_id]
    assert [one.kind for one in installation.store.cleanups()] == ["deleted"]
    installation.manifests.sync()
    assert installation.ids() == []


def test_a_manifest_that_cannot_be_read_is_named(installation: Installation) -> None:
    ids = [installation.context.accept() for _ in range(2)]
    installation.manifests.sync()
    installation.lose_the_store()
    installation.keep(manifest_key("job", ids[0]), b'{"schema_version": 2}')
    installation.keep("jobs/notes.txt")
    done = installation.reconcile()
    assert done.queued == [ids[1]]
    assert list(done.unreadable) == [ids[0]]
    assert "schema_version" in done.unreadable[ids[0]]


def test_another_secret_is_said(
    installation: Installation, make_installation: Callable[..., Installation]
) -> None:
    job_id = installation.context.accept(subscriptions=[HOOK])
    installation.manifests.sync()
    other = make_installation(api={"secret": "y" * 32})
    assert "FRAMEMILL_API_SECRET" in other.reconcile().unreadable[job_id]


def test_storage_durability_stores_the_manifest_first(
    installation: Installation,
) -> None:
    job = durable(installation).submit()
    assert installation.ids() == [job.id]
    assert installation.manifests.sync() == 0
    installation.lose_the_store()
    assert installation.reconcile().queued == [job.id]
    assert installation.context.get(job.id).outputs == job.outputs


def test_without_storage_there_is_no_job(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> AbstractContextManager[Any]:
        raise StorageUnavailable("away")

    monkeypatch.setattr(installation.blobs, "writer", away)
    with pytest.raises(StorageUnavailable):
        durable(installation).submit()
    assert installation.store.list()[0] == []
    assert installation.context.snapshot() == {}


def test_a_refused_job_leaves_no_manifest(installation: Installation) -> None:
    durable(installation)
    key = Idempotency("k", "print")
    job = installation.submit(idempotency=key)
    installation.submit(idempotency=key)
    refused = installation.store.accept(
        installation.context.new_job(), None, Caps(total=1), kept=True
    )
    assert isinstance(refused, Full)
    installation.manifests.sync()
    assert installation.ids() == [job.id]


def test_a_repeat_does_not_set_an_ended_job_back(installation: Installation) -> None:
    job = durable(installation).submit()
    installation.store.cancel(job.id)
    installation.manifests.sync()
    installation.submit(job_id=job.id)
    installation.manifests.sync()
    assert installation.stored(job.id)["job"]["status"] == "cancelled"


def new_key(key_id: str = "k1") -> KeyRecord:
    return KeyRecord(id=key_id, name="first", owner="me", jobs_per_day=5)


def test_an_api_key_comes_back_with_its_webhooks(installation: Installation) -> None:
    token = installation.keys.create(new_key())
    hook = installation.keys.add_webhook(
        "k1", Subscription.model_validate(HOOK), "x" * 32
    )
    before = installation.keys.list()
    assert installation.manifests.sync() == 1
    text = b"".join(installation.blobs.read(manifest_key("key", "k1")))
    assert (hook.secret or "").encode() not in text
    installation.lose_the_store()
    assert installation.reconcile(dry=True).keys.back == ["k1"]
    assert installation.keys.list() == []
    assert installation.reconcile().keys.back == ["k1"]
    assert installation.keys.list() == before
    admission = installation.keys.admit(token)
    assert admission is not None
    assert [one.id for one in admission.key.webhooks] == [hook.id]
    assert installation.reconcile().keys.known == ["k1"]


def test_the_newest_secret_of_a_key_comes_back(installation: Installation) -> None:
    old = installation.keys.create(new_key())
    installation.manifests.sync()
    new = installation.keys.rotate("k1")
    installation.manifests.sync()
    installation.lose_the_store()
    installation.reconcile()
    assert installation.keys.admit(old) is None
    assert installation.keys.admit(new) is not None


def test_a_revoked_key_stays_revoked(installation: Installation) -> None:
    token = installation.keys.create(new_key())
    installation.manifests.sync()
    installation.keys.revoke("k1")
    assert installation.reconcile().keys.back == []
    installation.manifests.sync()
    installation.lose_the_store()
    assert installation.reconcile().keys.back == []
    assert installation.keys.admit(token) is None


def test_a_key_cannot_be_forged_in_the_bucket(
    installation: Installation, make_installation: Callable[..., Installation]
) -> None:
    other = make_installation(api={"secret": "y" * 32})
    other.keys.create(new_key())
    other.manifests.sync()
    exported = other.keys.export("k1")
    installation.keep(manifest_key("key", "k2"), json.dumps({"key": exported}).encode())
    assert list(installation.reconcile(dry=True).keys.unreadable) == ["k1", "k2"]
    assert installation.reconcile().keys.back == []
    assert installation.keys.list() == []


def test_keys_of_earlier_versions_get_a_manifest(installation: Installation) -> None:
    installation.keys.create(new_key())
    installation.context.client.delete(installation.context.key("manifests"))
    installation.keys.mark_all()
    installation.manifests.sync()
    assert list(installation.manifests.ids("key")) == ["k1"]


def declare(installation: Installation, *key_ids: str) -> None:
    installation.keys.declare(
        [
            DeclaredKey(id=one, name=one, owner="me", sha256=digest(one))
            for one in key_ids
        ]
    )


def test_webhooks_of_a_declared_key_come_back(installation: Installation) -> None:
    declare(installation, "k1", "k2")
    hook = installation.keys.add_webhook(
        "k1", Subscription.model_validate(HOOK), "x" * 32
    )
    kept = installation.keys.find("k1").webhooks
    installation.manifests.sync()
    assert installation.ids("key") == ["k1"]
    text = b"".join(installation.blobs.read(manifest_key("key", "k1")))
    assert (hook.secret or "").encode() not in text
    installation.lose_the_store()
    declare(installation, "k1", "k2")
    assert installation.reconcile(dry=True).keys.back == ["k1"]
    assert installation.keys.find("k1").webhooks == []
    assert installation.reconcile().keys.back == ["k1"]
    assert installation.keys.find("k1").webhooks == kept
    assert installation.reconcile().keys.known == ["k1"]


def test_a_declared_key_comes_back_by_the_settings_alone(
    installation: Installation,
) -> None:
    declare(installation, "k1")
    installation.keys.add_webhook("k1", Subscription.model_validate(HOOK), "x" * 32)
    installation.manifests.sync()
    installation.lose_the_store()
    assert "no API key" in installation.reconcile().keys.unreadable["k1"]
    assert installation.keys.list() == []


def test_webhooks_go_with_their_declared_key(installation: Installation) -> None:
    declare(installation, "k1")
    installation.keys.add_webhook("k1", Subscription.model_validate(HOOK), "x" * 32)
    installation.manifests.sync()
    declare(installation)
    installation.manifests.sync()
    assert installation.ids("key") == []
