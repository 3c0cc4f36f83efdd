"""Probe the source of a job and open its outputs: the first task of every job."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from common.errors import TooLarge, TooLong
from common.jobs.service import source_key
from common.jobs.store import Opening, Outcome
from common.model import (
    ErrorInfo,
    JobOptions,
    MediaInfo,
    OutputRecord,
    Source,
    SourceReading,
    WholeReason,
)
from common.outputs.specs import OUTPUT_SPEC
from common.telemetry import traces
from worker.dedupe import reuse
from worker.egress import Downloaded, expires_at
from worker.lease import Attempt
from worker.media.ffmpeg.clip import no_video

# A file that this task stored is kept for so many times the longest life of a task
# before the record names it.
_LIVES = 2


def prepare(attempt: Attempt) -> Outcome:
    """Pin and probe the source; split and open each output.

    Raises SourceError, MediaError or Unavailable before any output is opened.
    """
    claim, context = attempt.claim, attempt.context
    runtime = context.runtime
    source = _pin(attempt)
    check_size(claim.options, source)
    if claim.options.dedupe and (copied := _reuse(attempt, source)):
        return copied
    opened = attempt.open_source(source)
    with traces.span("probe"):
        media = context.engine.probe(opened, attempt.watch.should_stop)
    check_length(claim.options, media)
    job = runtime.store.get(claim.job_id)
    outputs = [] if job is None else job.outputs
    openings = {one.name: _opening(attempt, one, media) for one in outputs}
    if openings and all(one.error is not None for one in openings.values()):
        raise no_video(media)
    return attempt.settle(
        lambda: runtime.store.open(
            claim,
            media,
            source,
            openings,
            warnings=list(media.warnings),
            reading=attempt.reading,
        )
    )


def _reuse(attempt: Attempt, source: Source) -> Outcome | None:
    claim = attempt.claim
    # A downloaded source would have to be downloaded again after the wait.
    wait = claim.source.kind == source.kind
    return reuse(
        attempt, source, lambda media: check_length(claim.options, media), wait=wait
    )


def check_size(options: JobOptions, source: Source) -> None:
    """Raise TooLarge if the source has more bytes than the job's API key allows."""
    most = options.max_bytes
    if most is not None and (source.size or 0) > most:
        raise TooLarge(
            f"the source has {source.size} bytes, this API key allows {most}",
            hint="send a smaller file, or ask for a key with a higher limit",
        )


def check_length(options: JobOptions, media: MediaInfo) -> None:
    """Raise TooLong if the video is longer than the job's API key allows."""
    most = options.max_seconds
    if most is not None and (media.duration or 0) > most:
        raise TooLong(
            f"the video lasts {media.duration:.0f} seconds, this API key allows "
            f"{most:g}",
            hint="send a shorter video, or ask for a key with a higher limit",
        )


def _opening(attempt: Attempt, output: OutputRecord, media: MediaInfo) -> Opening:
    spec = OUTPUT_SPEC.validate_python(output.spec)
    if media.video is None and spec.fallback == ["frame"]:
        return Opening(error=ErrorInfo(**no_video(media).as_dict()))
    return Opening(parts=attempt.context.engine.split(spec, media))


def _pin(attempt: Attempt) -> Source:
    """Pin the source; a URL that cannot be read in place is downloaded first."""
    claim, context = attempt.claim, attempt.context
    source = claim.source
    if source.kind == "url":
        source = _pin_url(attempt)
    if source.kind == "url":
        return source
    source = context.sources.pin(source)
    resumed = source.kind == "upload" and source.sha256 is None
    if resumed and claim.options.dedupe:
        # Uploaded in parts, perhaps in parallel: no process has read it in order yet.
        # A file that is only read by ranges is known by its upload instead.
        # What a copy happens to have by now must not change what a source is known by.
        opened = attempt.open_source(source)
        if attempt.reading and attempt.reading.access != "sparse":
            digest = _sha256(opened.path)
            source = source.model_copy(update={"sha256": digest})
    return source


def _pin_url(attempt: Attempt) -> Source:
    """Return a URL with what identifies its content, or the upload that it became.

    A large file whose server sends ranges is read where it is, by every task. Anything
    else is downloaded into our own storage.
    """
    claim, context = attempt.claim, attempt.context
    source, settings = claim.source, context.runtime.settings
    if source.size is not None:
        return source  # an earlier job pinned it, and nothing of it was kept
    limit = settings.limits.source_bytes
    path = attempt.folder / "download"
    # The tasks that follow may run much later.
    needed_until = time.time() + settings.lease.outage_hours * 3600
    expires = expires_at(source.url or "")
    reason = context.sources.whole_reason()
    if expires is not None and expires < needed_until:
        reason = "url_expires"
    found = context.egress.look_or_download(
        source.url or "",
        path,
        least=None if reason else settings.worker.sparse_bytes,
        strong=claim.options.dedupe,
        max_bytes=min(limit, claim.options.max_bytes or limit),
        should_stop=attempt.watch.should_stop,
    )
    if isinstance(found, Downloaded):
        if found.size < settings.worker.sparse_bytes:
            reason = "small"
        return _keep(attempt, path, found, reason or "no_ranges")
    return source.model_copy(
        update={
            "etag": found.pin.etag,
            "modified": found.pin.modified,
            "size": found.pin.size,
            "name": source.name or found.name,
            "content_type": found.content_type,
        }
    )


def _keep(
    attempt: Attempt, path: Path, downloaded: Downloaded, reason: WholeReason
) -> Source:
    """Put a downloaded file into our own storage, and into the cache of this host."""
    claim, context = attempt.claim, attempt.context
    runtime = context.runtime
    attempt.add_reading(
        SourceReading(
            access="whole",
            access_reason=reason,
            bytes_read=downloaded.size,
            requests=1,
        )
    )
    sha256 = _sha256(path) if claim.options.dedupe else None
    key = source_key(claim.job_id)
    # Crash window: the record names this blob only once prepare has succeeded, and
    # never after a failure (no video, too long). The reservation lets the janitor
    # delete it then. A worker that has lost the claim must not write over it.
    runtime.store.reserve_blob(key, _LIVES * runtime.settings.engine.hard_seconds)
    attempt.check()
    info = runtime.blobs.put(key, path, content_type="application/octet-stream")
    source = claim.source.model_copy(
        update={
            "kind": "upload",
            "key": key,
            "etag": info.etag,
            "size": info.size,
            "sha256": sha256,
            "name": claim.source.name or downloaded.name,
        }
    )
    context.sources.adopt(source, path)
    return source


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
