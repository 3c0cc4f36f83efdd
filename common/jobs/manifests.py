"""Manifests: what is needed to restore a job when the job store is lost.

The manifest of a job is the object ``jobs/ID.json`` in the service's own bucket. A
script that accepts, ends, reopens or removes a job also lists its manifest as due
(``lua/manifests.lua``). :meth:`Manifests.sync` makes the object equal to the record: it
stores or deletes it. With ``FRAMEMILL_STORE_DURABILITY=storage`` the manifest of a new
job is stored before the job is accepted. ``common/jobs/reconcile.py`` reads them.

Batches and API keys have manifests of the same kind, ``batches/ID.json`` and
``keys/ID.json``. Those of keys are encrypted as a whole, so who can write to the bucket
alone can make no key; so is that of a batch with subscribers. A key that the settings
declare has one for its webhooks alone.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

import structlog
from pydantic import TypeAdapter, ValidationError

from common.access.keys import Keys
from common.errors import DiskFull, StorageUnavailable
from common.jobs.store import DueManifest, JobStore, NewBatch, StoredBatch, new_fields
from common.model import JobRecord, Record
from common.notify.subscriptions import Subscription
from common.sealing import decrypt, encrypt
from common.settings.load import Settings, SettingsError
from common.storage.port import BlobStore

log = structlog.get_logger(__name__)

_FOLDERS = {"job": "jobs/", "batch": "batches/", "key": "keys/"}
_ID = re.compile(r"[0-9a-z]{1,32}")
_PURPOSE, _KEY_PURPOSE = "manifest", "manifest of a key"
_BATCH_PURPOSE = "manifest of a batch"
_BATCH, _AT_ONCE = 100, 8
_SUBSCRIPTIONS = TypeAdapter(list[Subscription])


class Manifest(Record):
    """The content of one manifest.

    ``job`` is the record as it was stored last; of a job that has not ended, only what
    was asked for counts. ``subscriptions`` hold addresses and signing secrets, so they
    are encrypted under ``api.secret``; None is no subscription.
    """

    schema_version: Literal[1] = 1
    job: JobRecord
    subscriptions: str | None = None


class KeyManifest(Record):
    """The content of one API key's manifest: what Keys.export wrote, encrypted."""

    schema_version: Literal[1] = 1
    key: str


class BatchManifest(Record):
    """The content of one batch's manifest: ``batch``, or ``encrypted`` the same."""

    schema_version: Literal[1] = 1
    batch: StoredBatch | None = None
    encrypted: str | None = None


class Unreadable(Exception):
    """A manifest that cannot be read, and why."""


def manifest_key(kind: str, record_id: str) -> str:
    """Return the storage key of the manifest of a ``job``, a ``batch`` or a ``key``."""
    return f"{_FOLDERS[kind]}{record_id}.json"


class Manifests:
    """The manifests in one blob store of what is in one job store."""

    def __init__(
        self, settings: Settings, store: JobStore, keys: Keys, blobs: BlobStore
    ) -> None:
        self._secret = settings.api.secret
        self._secrets = settings.api.secrets
        self._store = store
        self._keys = keys
        self._blobs = blobs

    def put(self, job: JobRecord, subscriptions: list[Subscription]) -> None:
        """Store a job's manifest; raises StorageUnavailable or DiskFull."""
        self._put("job", job.id, self._describe(job, subscriptions))

    def put_batch(self, batch: NewBatch) -> None:
        """Store a new batch's manifest; raises StorageUnavailable or DiskFull."""
        at = int(time.time() * 1000)
        times = {name: str(at) for name in ("created", "updated")}
        order = {"order": f"{at:013d}{batch.id}"}
        fields = new_fields(batch) | times | order
        stored = StoredBatch(id=batch.id, fields=fields, sources=batch.sources)
        self._put("batch", batch.id, self._describe_batch(stored))

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

    def ids(self, kind: str = "job") -> Iterator[str]:
        """Yield the ids of those that have a manifest, in order."""
        for blob in self._blobs.list(_FOLDERS[kind]):
            record_id = blob.key.removeprefix(_FOLDERS[kind]).removesuffix(".json")
            if _ID.fullmatch(record_id) and blob.key == manifest_key(kind, record_id):
                yield record_id

    def read(self, job_id: str) -> tuple[JobRecord, list[Subscription]]:
        """Return a job and its subscriptions as they were stored.

        Raises Unreadable, SourceNotFound if there is no manifest, StorageUnavailable.
        """
        with _unreadable():
            manifest = Manifest.model_validate_json(self._text("job", job_id))
            if manifest.job.id != job_id:
                raise Unreadable(f"it is that of the job {manifest.job.id}")
            token = manifest.subscriptions
            if token is None:
                return manifest.job, []
            text = decrypt(self._secrets, _PURPOSE, token)
            return manifest.job, _SUBSCRIPTIONS.validate_json(text)

    def read_key(self, key_id: str) -> str:
        """Return what was exported of an API key; raises as :meth:`read`."""
        with _unreadable():
            manifest = KeyManifest.model_validate_json(self._text("key", key_id))
            return decrypt(self._secrets, _KEY_PURPOSE, manifest.key)

    def read_batch(self, batch_id: str) -> StoredBatch:
        """Return a batch as it was stored; raises as :meth:`read`."""
        with _unreadable():
            text = self._text("batch", batch_id)
            manifest = BatchManifest.model_validate_json(text)
            batch = manifest.batch
            if manifest.encrypted is not None:
                opened = decrypt(self._secrets, _BATCH_PURPOSE, manifest.encrypted)
                batch = StoredBatch.model_validate_json(opened)
            if batch is None or batch.id != batch_id:
                raise Unreadable("it is that of another batch, or of none")
            return batch

    def _sync_one(self, due: DueManifest) -> bool:
        try:
            document = self._document(due)
            if document is None:
                self._blobs.delete(manifest_key(due.kind, due.id))
            else:
                self._put(due.kind, due.id, document)
        except (StorageUnavailable, DiskFull) as error:
            log.warning("manifest.deferred", of=due.id, error=error.detail)
            return False
        except SettingsError as error:
            log.error("manifest.deferred", of=due.id, error=str(error))  # noqa: TRY400
            return False
        return True

    def _document(self, due: DueManifest) -> Record | None:
        """Return what the manifest is to hold, None if there is nothing to restore."""
        if due.kind == "key":
            exported = self._keys.export(due.id)
            if exported is None:
                return None
            return KeyManifest(key=encrypt(self._secret, _KEY_PURPOSE, exported))
        if due.kind == "batch":
            batch = self._store.export_batch(due.id)
            return None if batch is None else self._describe_batch(batch)
        found = self._store.job_and_subscriptions(due.id)
        return None if found is None else self._describe(*found)

    def _describe(self, job: JobRecord, subscriptions: list[Subscription]) -> Manifest:
        if not subscriptions:
            return Manifest(job=job)
        text = json.dumps([one.model_dump(mode="json") for one in subscriptions])
        return Manifest(job=job, subscriptions=encrypt(self._secret, _PURPOSE, text))

    def _describe_batch(self, batch: StoredBatch) -> BatchManifest:
        """Encrypt a batch if it has subscribers, which its jobs may have, too."""
        fields = batch.fields
        template = json.loads(fields["template"])
        if fields["subscriptions"] == "[]" and not template.get("subscriptions"):
            return BatchManifest(batch=batch)
        text = encrypt(self._secret, _BATCH_PURPOSE, batch.model_dump_json())
        return BatchManifest(encrypted=text)

    def _put(self, kind: str, record_id: str, document: Record) -> None:
        place = manifest_key(kind, record_id)
        with self._blobs.writer(place, content_type="application/json") as writer:
            writer.write(document.model_dump_json().encode())
            writer.commit()

    def _text(self, kind: str, record_id: str) -> bytes:
        return b"".join(self._blobs.read(manifest_key(kind, record_id)))


@contextmanager
def _unreadable() -> Iterator[None]:
    """Raise Unreadable for a document that is no manifest, or another secret's."""
    try:
        yield
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the document"
        raise Unreadable(f"{place}: {fault['msg']}") from error
    except SettingsError as error:
        raise Unreadable(str(error)) from error
