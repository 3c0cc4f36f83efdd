"""Removal of what retention no longer keeps: records, results, sources, uploads."""

from __future__ import annotations

import time

import structlog

from common.errors import DiskFull, FramemillError, StorageUnavailable
from common.jobs.store import Cleanup, JobStore
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
        """Do every cleanup that is due; give how many. Raises StoreUnavailable."""
        done = self._drop_uploads() + self._tidy()
        while cleanups := self._store.cleanups(_BATCH):
            for cleanup in cleanups:
                done += self._do(cleanup)
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
            # A store that does not list uploads must not hold up the other cleanups.
            log.warning("tidy.deferred", error=error.detail)
            return 0
        if left:
            log.info("tidy.removed", unfinished=left)
        return left

    def _do(self, cleanup: Cleanup) -> bool:
        try:
            removed = self._remove(cleanup)
        except (StorageUnavailable, DiskFull) as error:
            log.warning("cleanup.deferred", kind=cleanup.kind, error=error.detail)
            self._store.defer_cleanup(cleanup)
            return False
        self._store.finish_cleanup(cleanup)
        log.info("cleanup.done", kind=cleanup.kind, job=cleanup.job_id, removed=removed)
        return True

    def _remove(self, cleanup: Cleanup) -> int:
        if cleanup.kind == "blob":
            self._blobs.delete(cleanup.key)
            return 1
        if cleanup.kind in {"record", "deleted"}:
            return self._blobs.delete_prefix(f"out/{cleanup.job_id}/")
        if cleanup.kind == "litter":
            return self._remove_orphans(cleanup.job_id)
        return 0

    def _remove_orphans(self, job_id: str) -> int:
        """Remove results that nothing points at: of lost, refused and failed work.

        The files are listed before the record is read. So where the job has ended by
        then, whatever was listed and is in no record will never be: work that begins
        later has a newer fence, and other keys.
        """
        stored = [blob.key for blob in self._blobs.list(f"out/{job_id}/")]
        job = self._store.get(job_id)
        if job is None or job.status not in JOB_ENDED:
            return 0  # the record's own cleanup, or the next end, removes it
        kept = {one.key for output in job.outputs for one in output.artifacts}
        orphans = [key for key in stored if key not in kept]
        for key in orphans:
            self._blobs.delete(key)
        return len(orphans)
