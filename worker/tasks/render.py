"""Make the files of one output, or of one part of it, and store them."""

from __future__ import annotations

import hashlib

import structlog

from common.errors import ResourceLimit, Timeout, Unavailable
from common.jobs.store import Outcome
from common.model import Artifact, AttemptReport
from common.outputs.specs import OUTPUT_SPEC
from common.storage.port import BlobStore
from worker.lease import Attempt
from worker.media.engine import Rendered, RenderedFile, RenderJob
from worker.media.source_file import SourceFile

log = structlog.get_logger(__name__)

_COSTLY = {one.code: one for one in (Timeout, ResourceLimit)}


def render(attempt: Attempt) -> Outcome:
    """Render the claimed output or part, store its files and publish them.

    The files are stored under this claim's fence before the record points at them, so
    a stale attempt can store files but never publish them. Raises MediaError,
    SourceError, Unavailable, Interrupted.
    """
    claim, context = attempt.claim, attempt.context
    job = _render_job(attempt, attempt.open_source(claim.source))
    rendered = context.engine.render(job, attempt.watch)
    _raise_costly(rendered)
    prefix = f"out/{claim.job_id}/{claim.output}/{claim.fence}/"
    blobs = context.runtime.blobs
    try:
        artifacts = [_store(attempt, prefix, file) for file in rendered.files]
        attempt.check()
        outcome = _finish(attempt, artifacts, rendered)
    except BaseException:
        _discard(blobs, prefix)
        raise
    if not outcome.applied:
        _discard(blobs, prefix)
    return outcome


def _raise_costly(rendered: Rendered) -> None:
    """Raise the error of a part that made no file, if it took long to fail.

    The job store tolerates one such part of an output; the second one fails the output.
    """
    errors = [report.error for report in rendered.reports if report.error]
    if not rendered.files and errors and errors[-1].code in _COSTLY:
        error = _COSTLY[errors[-1].code](errors[-1].detail, hint=errors[-1].hint)
        error.reports = tuple(rendered.reports)
        raise error


def _discard(blobs: BlobStore, prefix: str) -> None:
    """Remove unpublished files; if that fails, the janitor does it later."""
    try:
        blobs.delete_prefix(prefix)
    except Unavailable as error:
        log.warning("render.orphans_left", prefix=prefix, error=error.detail)


def _render_job(attempt: Attempt, source: SourceFile) -> RenderJob:
    claim = attempt.claim
    if claim.media is None or claim.spec is None:
        raise ValueError(
            f"task {claim.task} was opened without the result of the probe"
        )
    workdir = attempt.folder / "work"
    workdir.mkdir()
    return RenderJob(
        spec=OUTPUT_SPEC.validate_python(claim.spec),
        media=claim.media,
        source=source,
        workdir=workdir,
        part=claim.part_spec,
        parts=claim.parts,
        title=claim.source.name,
        attempt=claim.attempt,
    )


def _store(attempt: Attempt, prefix: str, file: RenderedFile) -> Artifact:
    attempt.check()
    with file.path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    key = prefix + file.name
    info = attempt.context.runtime.blobs.put(
        key, file.path, content_type=file.content_type
    )
    return Artifact(
        name=file.name,
        key=key,
        content_type=file.content_type,
        bytes=info.size,
        width=file.width,
        height=file.height,
        frames=file.frames,
        duration=file.duration,
        time=file.time,
        sha256=digest,
        details=file.details,
        names=file.names,
    )


def _finish(attempt: Attempt, artifacts: list[Artifact], rendered: Rendered) -> Outcome:
    claim, context = attempt.claim, attempt.context
    reports: list[AttemptReport] = [
        report.model_copy(update={"worker": context.name})
        for report in rendered.reports
    ]
    return attempt.settle(
        lambda: context.runtime.store.finish(
            claim,
            artifacts,
            result=[file.model_dump(mode="json") for file in rendered.result],
            warnings=rendered.warnings,
            reports=reports,
            publish=claim.options.destination is not None and claim.part is None,
            reading=attempt.reading,
        )
    )
