"""Restore what was in a lost job store from the manifests: API keys, batches, jobs.

It may run beside the service and may be repeated: what is there is left alone, and so
is a job or a batch that was deleted or whose retention has ended, and a key that was
revoked.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from common.access.keys import Keys, KeyState
from common.errors import NotFound, SourceNotFound
from common.jobs.manifests import Manifests, Unreadable
from common.jobs.queue import Dispatcher
from common.jobs.service import queue_of
from common.jobs.store import BatchRestoration, JobStore, NewJob, NewOutput
from common.model import JOB_ENDED, JobRecord
from common.notify.subscriptions import Subscription
from common.storage.port import BlobStore

_PAGE, _AT_ONCE = 100, 8
# A manifest may be stored before its job: a POST that is under way ends within that.
_UNDER_WAY_SECONDS = 10.0


@dataclass
class Part:
    """What a run did with the API keys or the batches, as ids.

    ``back`` were restored, ``known`` were there; ``unreadable`` says why not.
    """

    back: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


@dataclass
class Reconciled:
    """What a run did, as ids of jobs; ``keys`` and ``batches`` have their own.

    ``known`` were there, ``leaving`` are deleted or past their retention, ``ended`` are
    back with their results and ``queued`` to be done again. Of those, ``remade`` had
    ended but lack files, and ``without_source`` lack their upload: they will fail with
    source_not_found. ``unreadable`` says why a manifest could not be used.
    """

    known: list[str] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    queued: list[str] = field(default_factory=list)
    remade: list[str] = field(default_factory=list)
    without_source: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    keys: Part = field(default_factory=Part)
    batches: Part = field(default_factory=Part)
    statuses: Counter[str] = field(default_factory=Counter)


class Reconciler:
    """Restores jobs into ``store``, and API keys; ``dry`` changes nothing."""

    def __init__(
        self,
        manifests: Manifests,
        store: JobStore,
        keys: Keys,
        blobs: BlobStore,
        dispatcher: Dispatcher,
        *,
        dry: bool = False,
    ) -> None:
        self._manifests = manifests
        self._store = store
        self._keys = keys
        self._blobs = blobs
        self._dispatcher = dispatcher
        self._dry = dry
        self._done = Reconciled()

    def run(self) -> Reconciled:
        """Restore every key, batch and job that has a manifest and no record.

        A batch goes on only when its jobs are back. Raises StorageUnavailable and
        StoreUnavailable; then run it again.
        """
        for key_id in self._manifests.ids("key"):
            self._restore_part(self._done.keys, key_id, self._restore_key)
        for batch_id in self._manifests.ids("batch"):
            self._restore_part(self._done.batches, batch_id, self._restore_batch)
        self._restore_jobs()
        if not self._dry:
            for batch_id in (*self._done.batches.back, *self._done.batches.known):
                self._dispatcher.enqueue(self._store.resume_batch(batch_id))
        return self._done

    def _restore_jobs(self) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for page in _pages(self._manifests.ids()):
                versions = self._store.versions(page)
                self._done.known += [one for one in page if versions[one]]
                missing = [one for one in page if versions[one] is None]
                list(pool.map(self._restore, missing))

    def _restore_part(
        self, part: Part, one: str, restore: Callable[[str], KeyState]
    ) -> None:
        try:
            state = restore(one)
        except (Unreadable, NotFound) as error:
            part.unreadable[one] = str(error)
        except SourceNotFound:
            return  # revoked or deleted since it was listed
        else:
            if state == "restored":
                part.back.append(one)
            elif state == "known":
                part.known.append(one)

    def _restore_key(self, key_id: str) -> KeyState:
        return self._keys.restore(self._manifests.read_key(key_id), dry=self._dry)

    def _restore_batch(self, batch_id: str) -> BatchRestoration:
        batch = self._manifests.read_batch(batch_id)
        ended = batch.fields["status"] in JOB_ENDED
        if not ended and self._await(int(batch.fields["created"])):
            batch = self._manifests.read_batch(batch_id)
        return self._store.restore_batch(batch, dry=self._dry)

    def _await(self, created: int) -> bool:
        """Wait for the end of a POST of that time; return whether that was needed."""
        age = time.time() - created / 1000
        if age > _UNDER_WAY_SECONDS:
            return False
        time.sleep(min(_UNDER_WAY_SECONDS, _UNDER_WAY_SECONDS - age))
        return True

    def _restore(self, job_id: str) -> None:
        try:
            job, subscriptions = self._read(job_id)
        except Unreadable as error:
            self._done.unreadable[job_id] = str(error)
            return
        except SourceNotFound:
            return  # removed since it was listed, with its job
        again = job.status not in JOB_ENDED or self._lacks_files(job)
        restored = self._store.restore(
            _new_job(job, subscriptions), job, again=again, dry=self._dry
        )
        self._dispatcher.enqueue(restored.messages)
        getattr(self._done, restored.state).append(job_id)
        if restored.state in {"ended", "queued"}:
            self._count(job, again=again)

    def _read(self, job_id: str) -> tuple[JobRecord, list[Subscription]]:
        job, subscriptions = self._manifests.read(job_id)
        if job.status in JOB_ENDED or not self._await(job.created_at):
            return job, subscriptions
        return self._manifests.read(job_id)

    def _count(self, job: JobRecord, *, again: bool) -> None:
        self._done.statuses["queued" if again else job.status] += 1
        if again and job.status in JOB_ENDED:
            self._done.remade.append(job.id)
        if again and self._lacks_source(job):
            self._done.without_source.append(job.id)

    def _lacks_files(self, job: JobRecord) -> bool:
        made = {
            artifact.key: artifact.bytes
            for output in job.outputs
            for artifact in output.artifacts
        }
        if not made:
            return False
        # Results that were taken over from another job lie in this one's folder, too.
        stored = {one.key: one.size for one in self._blobs.list(f"out/{job.id}/")}
        return any(stored.get(key) != size for key, size in made.items())

    def _lacks_source(self, job: JobRecord) -> bool:
        if job.source.kind != "upload" or job.source.key is None:
            return False
        try:
            self._blobs.head(job.source.key)
        except SourceNotFound:
            return True
        return False


def _new_job(job: JobRecord, subscriptions: list[Subscription]) -> NewJob:
    return NewJob(
        id=job.id,
        owner=job.owner,
        source=job.source,
        outputs=[
            NewOutput(one.name, one.kind, one.spec, queue_of(one.kind))
            for one in job.outputs
        ],
        options=job.options,
        metadata=job.metadata,
        subscriptions=subscriptions,
    )


def _pages(ids: Iterator[str]) -> Iterator[list[str]]:
    while page := list(itertools.islice(ids, _PAGE)):
        yield page
