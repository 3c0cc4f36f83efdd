"""Manifests: what is needed to restore a job when the job store is lost.

The manifest of a job is the object ``jobs/ID.json`` in the service's own bucket. A
script that accepts, ends, reopens or removes a job also lists its manifest as due
(``lua/manifests.lua``). :meth:`Manifests.sync` makes the object equal to the record: it
stores or deletes it. With ``FRAMEMILL_STORE_DURABILITY=storage`` the manifest of a new
job is stored before the job is accepted. ``common/jobs/reconcile.py`` reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import structlog
from pydantic import TypeAdapter, ValidationError

from common.errors import DiskFull, StorageUnavailable
from common.jobs.store import DueManifest, JobStore
from common.model import JobRecord, Record
from common.notify.subscriptions import Subscription
from common.sealing import decrypt, encrypt
from common.settings.load import Settings, SettingsError
from common.storage.port import BlobStore

log = structlog.get_logger(__name__)

FOLDER = "jobs/"
_NAME = re.compile(r"jobs/([0-9a-f]{32})\.json")
_PURPOSE = "manifest"
_BATCH, _AT_ONCE = 100, 8
_SUBSCRIPTIONS = TypeAdapter(list[Subscription])


class Manifest(Record):
    """The content of one manifest.

    ``job`` is the record as it was stored last; of a job that has not ended, only what
    was asked for counts. ``subscriptions`` hold addresses and signing secrets, so they
    are encrypted with ``api.secret``; None is no subscription.
    """

    schema_version: Literal[1] = 1
    job: JobRecord
    subscriptions: str | None = None


class Unreadable(Exception):
    """A manifest that cannot be read, and why."""


def manifest_key(job_id: str) -> str:
    """Return the key of a job's manifest."""
    return f"{FOLDER}{job_id}.json"


class Manifests:
    """The manifests in one blob store of the jobs in one job store."""

    def __init__(self, settings: Settings, store: JobStore, blobs: BlobStore) -> None:
        self._secret = settings.api.secret
        self._store = store
        self._blobs = blobs

    def put(self, job: JobRecord, subscriptions: list[Subscription]) -> None:
        """Store a job's manifest; raises StorageUnavailable or DiskFull."""
        document = Manifest(job=job, subscriptions=self._encrypt(subscriptions))
        place = manifest_key(job.id)
        with self._blobs.writer(place, content_type="application/json") as writer:
            writer.write(document.model_dump_json().encode())
            writer.commit()

    def sync(self) -> int:
        """Store or delete every manifest that is due; return how many.

        What storage does not take is due again in a minute. Raises StoreUnavailable.
        """
        stored = 0
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while due := self._store.take_manifests(_BATCH):
                kept = list(pool.map(self._sync_one, due))
                done = [one for one, ok in zip(due, kept, strict=True) if ok]
                self._store.finish_manifests(done)
                stored += len(done)
                if len(done) < len(due):
                    break
        return stored

    def ids(self) -> Iterator[str]:
        """Yield the ids of the jobs that have a manifest, in order."""
        for blob in self._blobs.list(FOLDER):
            if name := _NAME.fullmatch(blob.key):
                yield name[1]

    def read(self, job_id: str) -> tuple[JobRecord, list[Subscription]]:
        """Return a job and its subscriptions as they were stored.

        Raises Unreadable, SourceNotFound if there is no manifest, StorageUnavailable.
        """
        text = b"".join(self._blobs.read(manifest_key(job_id)))
        try:
            manifest = Manifest.model_validate_json(text)
            if manifest.job.id != job_id:
                raise Unreadable(f"it is that of the job {manifest.job.id}")
            return manifest.job, self._decrypt(manifest.subscriptions)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"])) or "the document"
            raise Unreadable(f"{place}: {fault['msg']}") from error
        except SettingsError as error:
            raise Unreadable(str(error)) from error

    def _sync_one(self, due: DueManifest) -> bool:
        try:
            found = self._store.job_and_subscriptions(due.id)
            if found is None:
                self._blobs.delete(manifest_key(due.id))
            else:
                self.put(*found)
        except (StorageUnavailable, DiskFull) as error:
            log.warning("manifest.deferred", job=due.id, error=error.detail)
            return False
        except SettingsError as error:
            log.error("manifest.deferred", job=due.id, error=str(error))  # noqa: TRY400
            return False
        return True

    def _encrypt(self, subscriptions: list[Subscription]) -> str | None:
        if not subscriptions:
            return None
        text = json.dumps([one.model_dump(mode="json") for one in subscriptions])
        return encrypt(self._secret, _PURPOSE, text)

    def _decrypt(self, token: str | None) -> list[Subscription]:
        if token is None:
            return []
        return _SUBSCRIPTIONS.validate_json(decrypt(self._secret, _PURPOSE, token))
