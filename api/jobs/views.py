"""The public view of a job: JobRecord to JobView."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Literal

from api.http.links import Links
from api.jobs.archive import has_archive
from api.jobs.schemas import (
    ArtifactView,
    AttemptView,
    AudioView,
    ErrorView,
    JobView,
    LinksView,
    MediaView,
    ObjectView,
    OutputView,
    SourceView,
    SrcsetView,
    VideoView,
    WaitingView,
)
from common.model import (
    Artifact,
    AttemptReport,
    ErrorInfo,
    JobRecord,
    MediaInfo,
    OutputRecord,
    Source,
    SourceReading,
    Waiting,
)
from common.timestamps import rfc3339


def present(job: JobRecord, links: Links) -> JobView:
    """Return the public view of a job."""
    outputs = [_output(job.id, output, links) for output in job.outputs]
    return JobView(
        id=job.id,
        batch_id=job.batch,
        deduplicated_from=job.deduplicated_from,
        status=job.status,
        progress=job.progress,
        created_at=rfc3339(job.created_at),
        updated_at=rfc3339(job.updated_at),
        finished_at=rfc3339(job.finished_at),
        expires_at=rfc3339(job.expires_at),
        source=_source(job.source, job.reading),
        media=job.media and _media(job.media),
        outputs=outputs,
        waiting=job.waiting and _waiting(job.waiting),
        error=job.error and present_error(job.error),
        warnings=job.warnings,
        metadata=job.metadata,
        links=LinksView(
            self=links.job(job.id),
            cancel=links.job(job.id, "cancel"),
            retry=links.job(job.id, "retry"),
            media=links.source(job.id) if has_source(job) else None,
            thumbnail=_first(job, outputs, "thumbnail"),
            gif=_first(job, outputs, "gif"),
            archive=links.job(job.id, "archive") if has_archive(job) else None,
        ),
    )


def tag(job_id: str, version: int, links: Links) -> str:
    """Return the ETag of the view of a job at that version of its record.

    The view need not be made for it: a caller who has it costs one read of the version.
    """
    return links.tag(job_id, version, _form())


@functools.cache
def _form() -> str:
    # Another release may write other fields of the same record.
    schema = json.dumps(JobView.model_json_schema(mode="serialization"))
    return hashlib.sha256(schema.encode()).hexdigest()


def has_source(job: JobRecord) -> bool:
    """Return whether this service can serve the job's source."""
    return job.source.key is not None and job.source_kept


def _first(
    job: JobRecord, views: list[OutputView], wanted: Literal["thumbnail", "gif"]
) -> str | None:
    for record, view in zip(job.outputs, views, strict=True):
        moving = record.kind == "animation" and record.spec.get("format") == "gif"
        if record.kind == wanted or (wanted == "gif" and moving):
            return view.artifacts[0].url if view.artifacts else None
    return None


def _output(job_id: str, output: OutputRecord, links: Links) -> OutputView:
    artifacts = [_artifact(job_id, output, a, links) for a in output.artifacts]
    several = output.spec.get("widths") or output.spec.get("formats")
    return OutputView(
        name=output.name,
        kind=output.kind,
        status=output.status,
        progress=round(output.progress, 1),
        attempts=[_attempt(report) for report in output.attempts],
        warnings=output.warnings,
        artifacts=artifacts,
        srcsets=_srcsets(artifacts) if several else [],
        error=output.error and present_error(output.error),
    )


def _srcsets(artifacts: list[ArtifactView]) -> list[SrcsetView]:
    """Group the files of each picture and format; the smallest comes first."""
    found: dict[tuple[str, float | None], dict[int, str]] = {}
    for one in artifacts:
        if one.width is not None:
            widths = found.setdefault((one.content_type, one.time), {})
            widths[one.width] = one.url
    return [
        SrcsetView(
            content_type=content_type,
            time=time,
            srcset=", ".join(f"{widths[width]} {width}w" for width in sorted(widths)),
        )
        for (content_type, time), widths in found.items()
    ]


def _artifact(
    job_id: str, output: OutputRecord, artifact: Artifact, links: Links
) -> ArtifactView:
    return ArtifactView(
        name=artifact.name,
        url=links.artifact(job_id, output, artifact),
        content_type=artifact.content_type,
        bytes=artifact.bytes,
        width=artifact.width,
        height=artifact.height,
        frames=artifact.frames,
        duration=artifact.duration,
        time=artifact.time,
        sha256=artifact.sha256,
        details=artifact.details,
        copy_at=artifact.copy_at and ObjectView(**artifact.copy_at.model_dump()),
    )


def _attempt(report: AttemptReport) -> AttemptView:
    return AttemptView(
        attempt=report.attempt,
        rung=report.rung,
        error=report.error and present_error(report.error),
        seconds=report.seconds,
        at=rfc3339(report.at),
    )


def present_error(error: ErrorInfo) -> ErrorView:
    """Return the public view of an error."""
    return ErrorView(
        code=error.code,
        title=error.title,
        detail=error.detail,
        pointer=error.pointer,
        hint=error.hint,
    )


def _waiting(waiting: Waiting) -> WaitingView:
    return WaitingView(
        error=present_error(waiting.error),
        since=rfc3339(waiting.since),
        until=rfc3339(waiting.until),
    )


def _source(source: Source, reading: SourceReading | None) -> SourceView:
    named = source.kind == "s3"
    return SourceView(
        kind=source.kind,
        name=source.name,
        bytes=source.size,
        content_type=source.content_type,
        sha256=source.sha256,
        bucket=source.bucket if named else None,
        key=source.key if named else None,
        url=source.url,
        access=reading and reading.access,
        access_reason=reading and reading.access_reason,
        bytes_read=reading and reading.bytes_read,
        requests=reading and reading.requests,
    )


def _media(media: MediaInfo) -> MediaView:
    video = media.video and VideoView.model_validate(
        media.video.model_dump(include=set(VideoView.model_fields))
    )
    audio = media.audio and AudioView.model_validate(
        media.audio.model_dump(include=set(AudioView.model_fields))
    )
    return MediaView(
        container=media.container,
        duration=media.duration,
        bytes=media.size,
        bit_rate=media.bit_rate,
        streams=media.streams,
        video=video,
        audio=audio,
    )
