"""A job store and the storage beside it, which outlives the store."""

from __future__ import annotations

import json
from typing import Any

from common import storage
from common.jobs.manifests import Manifests, manifest_key
from common.jobs.queue import RecordingDispatcher
from common.jobs.reconcile import Reconciled, Reconciler
from common.jobs.service import JobService, Submission
from common.model import JobRecord, Source
from common.storage.port import BlobStore
from tests.common.jobs.store.context import StoreContext

HOOK = {"id": "s", "url": "https://hooks.test/x", "secret": "whsec_c2VjcmV0"}


class Installation:
    """A job store and a folder of blobs beside it, which outlives it."""

    def __init__(self, context: StoreContext) -> None:
        self.context = context
        self.store = context.store
        self.keys = context.store.keys
        self.blobs: BlobStore = storage.connect(context.store.settings)
        self.manifests = Manifests(
            context.store.settings, self.store, self.keys, self.blobs
        )
        self.sent = RecordingDispatcher()

    def submit(self, **fields: Any) -> JobRecord:
        service = JobService(
            self.store.settings, self.store, self.blobs, self.sent, self.manifests
        )
        source = Source(kind="s3", bucket="framemill", key="films/a.mp4")
        given = {"owner": "me", "source": source} | fields
        return service.submit(Submission(**given)).job

    def keep(self, key: str, content: bytes = b"abc") -> None:
        with self.blobs.writer(key, content_type="image/jpeg") as writer:
            writer.write(content)
            writer.commit()

    def done(self, *names: str) -> str:
        """Make a completed job, with its upload and its files."""
        job_id = self.context.done(*names, owner="me", subscriptions=[HOOK])
        self.keep(f"in/{job_id}/source")
        for output in self.context.get(job_id).outputs:
            for artifact in output.artifacts:
                self.keep(artifact.key)
        return job_id

    def lose_the_store(self) -> None:
        self.context.client.flushdb()

    def reconcile(self, *, dry: bool = False) -> Reconciled:
        return Reconciler(
            self.manifests, self.store, self.keys, self.blobs, self.sent, dry=dry
        ).run()

    def end_retention(self, kind: str, record_id: str) -> None:
        """Let the record of a job or a batch expire, and have the rest cleaned."""
        members = {"job": "record:", "batch": "batch:"}
        self.context.client.delete(self.context.key(f"{kind}:{record_id}"))
        (member,) = [
            one
            for one in self.context.client.zrange(self.context.key("chores"), 0, -1)
            if one.startswith(members[kind])
        ]
        self.context.has_run_out(member)
        for cleanup in self.store.cleanups():
            self.store.finish_cleanup(cleanup)

    def stored(self, one: str, kind: str = "job") -> dict[str, Any]:
        return json.loads(b"".join(self.blobs.read(manifest_key(kind, one))))

    def ids(self, kind: str = "job") -> list[str]:
        return list(self.manifests.ids(kind))


def durable(installation: Installation) -> Installation:
    """Have the manifest stored before the job is accepted."""
    store = installation.store.settings.store.model_copy(
        update={"durability": "storage"}
    )
    installation.store.settings = installation.store.settings.model_copy(
        update={"store": store}
    )
    return installation
