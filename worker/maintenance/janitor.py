"""Remove records, results, sources and uploads past their retention."""

from __future__ import annotations

import time

import structlog

from common.errors import DiskFull, FramemillError, StorageUnavailable
from common.jobs.store import Cleanup, JobStore
from common.model import JOB_ENDED
from common.storage.port import BlobStore
from common.telemetry import metrics
from common.uploads import Uploads

log = structlog.get_logger(__name__)

TIDY_SECONDS = 3600.0
# An upload lives as long as it is continued. No upload takes this many times the
# lifetime of an idle one.
_TIDY_LIVES = 7
_BATCH = 200


class Janitor:
    """Removes what is past its retention: first the blobs, then their record.

    ``upload_hours`` is the lifetime of an idle upload.
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
        """Do every cleanup that is due; return their number.

        Raises StoreUnavailable.
        """
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
        """Remove unfinished files of killed writers, which no record names."""
        if time.monotonic() - self._tidied < TIDY_SECONDS:
            return 0
        self._tidied = time.monotonic()
        try:
            left = sum(
                self._blobs.tidy(prefix, self._unfinished_seconds)
                for prefix in ("in/", "out/")
            )
        except FramemillError as error:
            # A storage that cannot list uploads must not block the other cleanups.
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
            metrics.CLEANUPS.add(result="deferred")
            return False
        self._store.finish_cleanup(cleanup)
        metrics.CLEANUPS.add(result="done")
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
        """Remove stored results of lost, refused and failed work.

        The files are listed before the record is read. If the job has ended by then, a
        listed file that the record does not name never will be named: later work has a
        newer fence and so other keys.
        """
        stored = [blob.key for blob in self._blobs.list(f"out/{job_id}/")]
        job = self._store.get(job_id)
        if job is None or job.status not in JOB_ENDED:
            return 0  # removed with the record, or when the job ends again
        kept = {one.key for output in job.outputs for one in output.artifacts}
        orphans = [key for key in stored if key not in kept]
        for key in orphans:
            self._blobs.delete(key)
        return len(orphans)
