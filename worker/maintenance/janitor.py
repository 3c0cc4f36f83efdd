"""Removal of what retention no longer keeps: records, results, sources, uploads."""

from __future__ import annotations

import time

import structlog

from common.errors import DiskFull, FramemillError, StorageUnavailable
from common.jobs.store import Chore, JobStore
from common.model import JOB_ENDED
from common.storage.port import BlobStore
from common.uploads import Uploads

log = structlog.get_logger(__name__)

TIDY_SECONDS = 3600.0
# An upload may go on for as long as it is continued; nobody uploads for so many times
# of what an idle one has.
_TIDY_LIVES = 7
_BATCH = 200


class Janitor:
    """Removes what is past its time. Blobs first, then the line that names them.

    ``upload_hours`` is how long an idle upload is kept.
    """

    def __init__(
        self,
        store: JobStore,
        blobs: BlobStore,
        uploads: Uploads,
        upload_hours: float,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._uploads = uploads
        self._unfinished_seconds = _TIDY_LIVES * upload_hours * 3600
        self._tidied = -TIDY_SECONDS

    def clean(self) -> int:
        """Do every chore that is due; give how many. Raises StoreUnavailable."""
        done = self._drop_uploads() + self._tidy()
        while chores := self._store.chores(_BATCH):
            for chore in chores:
                done += self._do(chore)
        return done

    def _drop_uploads(self) -> int:
        try:
            dropped = self._uploads.sweep()
        except (StorageUnavailable, DiskFull) as error:
            log.warning("uploads.deferred", error=error.detail)
            return 0
        if dropped:
            log.info("uploads.dropped", uploads=dropped)
        return dropped

    def _tidy(self) -> int:
        """Remove parts that no record knows: of writers that were killed."""
        if time.monotonic() - self._tidied < TIDY_SECONDS:
            return 0
        self._tidied = time.monotonic()
        try:
            left = sum(
                self._blobs.tidy(prefix, self._unfinished_seconds)
                for prefix in ("in/", "out/")
            )
        except FramemillError as error:
            # A store that does not list uploads must not hold up the other chores.
            log.warning("tidy.deferred", error=error.detail)
            return 0
        if left:
            log.info("tidy.removed", unfinished=left)
        return left

    def _do(self, chore: Chore) -> bool:
        try:
            removed = self._remove(chore)
        except (StorageUnavailable, DiskFull) as error:
            log.warning("chore.deferred", kind=chore.kind, error=error.detail)
            self._store.defer_chore(chore)
            return False
        self._store.finish_chore(chore)
        log.info("chore.done", kind=chore.kind, job=chore.job_id, removed=removed)
        return True

    def _remove(self, chore: Chore) -> int:
        if chore.kind == "blob":
            self._blobs.delete(chore.key)
            return 1
        if chore.kind in {"record", "deleted"}:
            return self._blobs.delete_prefix(f"out/{chore.job_id}/")
        if chore.kind == "litter":
            return self._remove_litter(chore.job_id)
        return 0

    def _remove_litter(self, job_id: str) -> int:
        """Remove results that nothing points at: of lost, refused and failed work.

        The files are listed before the record is read. So where the job has ended by
        then, whatever was listed and is in no record will never be: work that begins
        later has a newer fence, and other keys.
        """
        stored = [blob.key for blob in self._blobs.list(f"out/{job_id}/")]
        job = self._store.get(job_id)
        if job is None or job.status not in JOB_ENDED:
            return 0  # the record's own chore, or the next end, removes it
        kept = {one.key for output in job.outputs for one in output.artifacts}
        litter = [key for key in stored if key not in kept]
        for key in litter:
            self._blobs.delete(key)
        return len(litter)
