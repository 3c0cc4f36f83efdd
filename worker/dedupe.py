"""Reuse the results of an earlier job with the same bytes and the same specs.

The storage copies the results under the new job's own prefix. So each job owns its
files: no other job's deletion or retention touches them. A job whose duplicate is still
running waits for it at no cost. If anything of the duplicate is missing, the job is
made like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import structlog

from common.errors import SourceNotFound
from common.jobs.store import CopiedOutput, Outcome
from common.model import Artifact, JobRecord, MediaInfo, OutputRecord, Source
from worker.lease import Attempt
from worker.media.ffmpeg import binary

log = structlog.get_logger(__name__)

# The end of a duplicate wakes the jobs that wait for it, unless its record was lost.
_WAIT_SECONDS = 30.0
# Kinds of output that show the source's name.
_NAMING = frozenset({"contact_sheet"})


def reuse(
    attempt: Attempt, source: Source, check: Callable[[MediaInfo], None], *, wait: bool
) -> Outcome | None:
    """Fill the claimed job with a duplicate's results; return None if there are none.

    ``source`` is pinned. ``check`` raises if this job may not use such media. With
    ``wait`` the job waits for a duplicate that is still running. Raises Unavailable,
    Interrupted.
    """
    store, claim = attempt.context.runtime.store, attempt.claim
    job = store.get(claim.job_id)
    digest = job and fingerprint(attempt, source, job)
    lost: str | None = None
    while digest:
        duplicate = store.find_duplicate(claim, digest, lost=lost, wait=wait)
        if duplicate.what == "run":
            return None
        if duplicate.what == "lost":
            return Outcome(applied=False, job_ended=False, messages=[])
        if duplicate.what == "wait":
            return attempt.settle(
                lambda: store.release(claim, "defer", delay_seconds=_WAIT_SECONDS)
            )
        lost = duplicate.job_id
        record = store.get(lost or "")
        if record and (done := _take_over(attempt, digest, source, record, check)):
            return done
    return None


def _take_over(
    attempt: Attempt,
    digest: str,
    source: Source,
    duplicate: JobRecord,
    check: Callable[[MediaInfo], None],
) -> Outcome | None:
    if duplicate.media is not None:
        check(duplicate.media)
    copied = _copy_all(attempt, duplicate)
    if copied is None:
        return None
    log.info("job.deduplicated", duplicate=duplicate.id)
    store = attempt.context.runtime.store
    return attempt.settle(
        lambda: store.copy_from_duplicate(
            attempt.claim,
            digest,
            source,
            duplicate,
            copied,
            reading=attempt.reading,
        )
    )


def fingerprint(attempt: Attempt, source: Source, job: JobRecord) -> str | None:
    """Return the digest of all that the results depend on.

    These are owner, bytes, specs and FFmpeg build. None if the bytes are known neither
    by their hash nor by a pinned object.
    """
    if source.sha256 is not None:
        content = [source.sha256]
    elif source.etag is not None:
        # Content that was downloaded from a URL has a key and a hash of its own.
        url = source.url if source.kind == "url" else None
        place = (source.bucket, source.key, url, source.etag, source.version)
        content = [one or "" for one in place]
    else:
        return None
    specs = sorted(
        [one.name, json.dumps(one.spec, sort_keys=True)] for one in job.outputs
    )
    named = any(one.kind in _NAMING for one in job.outputs)
    edition = binary.edition(attempt.context.runtime.settings)
    text = json.dumps(
        [job.owner, content, specs, source.name if named else None, edition]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _copy_all(attempt: Attempt, duplicate: JobRecord) -> list[CopiedOutput] | None:
    """Copy a duplicate's files under the claim's fence; None if one of them is gone."""
    try:
        return [
            CopiedOutput(
                name=output.name,
                artifacts=[_copy(attempt, output, one) for one in output.artifacts],
                warnings=output.warnings,
            )
            for output in duplicate.outputs
        ]
    except SourceNotFound:
        log.info("job.duplicate_lost", duplicate=duplicate.id)
        return None


def _copy(attempt: Attempt, output: OutputRecord, artifact: Artifact) -> Artifact:
    attempt.check()
    claim, blobs = attempt.claim, attempt.context.runtime.blobs
    file = artifact.key.split("/", 4)[4]  # out/JOB/OUTPUT/FENCE/FILE
    key = f"out/{claim.job_id}/{output.name}/{claim.fence}/{file}"
    blobs.copy(artifact.key, key, size=artifact.bytes)
    return artifact.model_copy(update={"key": key, "copy_at": None})
