"""Probe the source of a job and open its outputs: the first task of every job."""

from __future__ import annotations

import hashlib
from pathlib import Path

from common.errors import TooLarge, TooLong
from common.jobs.service import source_key
from common.jobs.store import Opening, Outcome
from common.model import ErrorInfo, JobOptions, MediaInfo, OutputRecord, Source
from common.outputs.specs import OUTPUT_SPEC
from worker.dedupe import reuse
from worker.lease import Attempt
from worker.media.ffmpeg.clip import no_video
from worker.media.source_file import LocalFile


def prepare(attempt: Attempt) -> Outcome:
    """Pin, fetch and probe the source; split and open each output.

    Raises SourceError, MediaError or Unavailable before any output is opened.
    """
    claim, context = attempt.claim, attempt.context
    runtime = context.runtime
    source = _pin(attempt)
    check_size(claim.options, source)
    if claim.options.dedupe and (copied := _reuse(attempt, source)):
        return copied
    path = attempt.fetch_source(source)
    media = context.engine.probe(LocalFile(path), attempt.watch.should_stop)
    check_length(claim.options, media)
    job = runtime.store.get(claim.job_id)
    outputs = [] if job is None else job.outputs
    openings = {one.name: _opening(attempt, one, media) for one in outputs}
    if openings and all(one.error is not None for one in openings.values()):
        raise no_video(media)
    return attempt.settle(
        lambda: runtime.store.open(
            claim, media, source, openings, warnings=list(media.warnings)
        )
    )


def _reuse(attempt: Attempt, source: Source) -> Outcome | None:
    claim = attempt.claim
    # A downloaded source would have to be downloaded again after the wait.
    wait = claim.source.kind != "url"
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
    """Pin the source; a URL is first downloaded into our own storage."""
    claim, context = attempt.claim, attempt.context
    source = claim.source
    if source.kind == "url":
        source = _download(attempt, attempt.folder / "download")
    source = context.sources.pin(source)
    resumed = source.kind == "upload" and source.sha256 is None
    if resumed and claim.options.dedupe:
        # Uploaded in parts, perhaps in parallel: no process has read it in order yet.
        digest = _sha256(attempt.fetch_source(source))
        source = source.model_copy(update={"sha256": digest})
    return source


def _download(attempt: Attempt, path: Path) -> Source:
    claim, runtime = attempt.claim, attempt.context.runtime
    limit = runtime.settings.limits.source_bytes
    downloaded = attempt.context.egress.download(
        claim.source.url or "",
        path,
        max_bytes=min(limit, claim.options.max_bytes or limit),
        should_stop=attempt.watch.should_stop,
    )
    sha256 = _sha256(path) if claim.options.dedupe else None
    key = source_key(claim.job_id)
    # Crash window: the record names this blob only once prepare has succeeded, and
    # never after a failure (no video, too long). The reservation lets the janitor
    # delete it then. A worker that has lost the claim must not write over it.
    runtime.store.reserve_blob(key, runtime.settings.retention.upload_hours * 3600)
    attempt.check()
    info = runtime.blobs.put(key, path, content_type="application/octet-stream")
    path.unlink()
    return claim.source.model_copy(
        update={
            "kind": "upload",
            "key": key,
            "etag": info.etag,
            "size": info.size,
            "sha256": sha256,
            "name": claim.source.name or downloaded.name,
        }
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
