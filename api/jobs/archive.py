"""``GET /v1/jobs/{id}/archive``: all files of a job that has ended, as one zip.

The zip is written while it is sent, so it takes no disk and little memory. Its files
are stored, not deflated: pictures and videos are compressed already. An archive holds
one of the sending threads (``FRAMEMILL_API_TRANSFERS``), an eighth of which are for
archives; other callers get 429.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import PurePosixPath

import structlog
from flask import Blueprint, Response, request

from api.http import headers
from api.http.headers import check_id
from api.http.services import Services
from common.errors import (
    Conflict,
    FramemillError,
    NotFound,
    SourceError,
    TooManyRequests,
)
from common.model import JOB_ENDED, Artifact, JobRecord
from common.storage.names import check_key, content_disposition
from common.storage.port import BlobStore

BUSY_SECONDS = 10
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip has no earlier time
_PLAIN_FILE = 0o100644 << 16

log = structlog.get_logger(__name__)


def blueprint(services: Services) -> Blueprint:
    """Return the route; ``archives`` caps the archives that are sent at once."""
    routes = Blueprint("archive", __name__, url_prefix="/v1/jobs")

    @routes.get("/<job_id>/archive")
    def archive(job_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("read").owner
        return send_archive(
            services, services.runtime.jobs.get(check_id(job_id), owner)
        )

    return routes


def send_archive(services: Services, job: JobRecord) -> Response:
    """Answer with the zip of a job's files, ``OUTPUT/FILE`` each.

    Raises Conflict for a job that has not ended or has no files, NotFound if the first
    one is gone, StorageUnavailable, and TooManyRequests when too many archives are
    being sent.
    """
    files = _files_at_end(job)
    blobs = services.runtime.blobs
    with ExitStack() as stack:
        if not stack.enter_context(services.archives.place()):
            raise TooManyRequests(
                "this server is sending as many archives as it may",
                retry_after=BUSY_SECONDS,
                hint="try again later, or fetch the files by their own url",
            )
        try:
            # Asked here, while there is still a status to send.
            blobs.head(files[0][1].key)
        except SourceError as error:
            raise NotFound("the files of this job were removed") from error
        chunks = _zip(job, files, blobs)
        response = Response(chunks, mimetype="application/zip")
        # The place is freed when the answer ends, even if it never began.
        response.call_on_close(stack.pop_all().close)
    stem = PurePosixPath(job.source.name or "").stem[:100] or job.id
    response.headers["Content-Disposition"] = content_disposition(
        f"{stem}.zip", attachment=True
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def has_archive(job: JobRecord) -> bool:
    """Return whether the job has ended with files, which do not change any more."""
    return job.status in JOB_ENDED and any(one.artifacts for one in job.outputs)


def _files_at_end(job: JobRecord) -> list[tuple[str, Artifact]]:
    if job.status not in JOB_ENDED:
        raise Conflict(
            f"job {job.id} has not ended ({job.status}), so not all files are there",
            hint="wait until links.archive of the job is not null",
        )
    if not has_archive(job):
        raise Conflict(
            f"job {job.id} has ended without files ({job.status})",
            hint="an archive has the files of the outputs that have succeeded",
        )
    return files_of(job)


def files_of(job: JobRecord) -> list[tuple[str, Artifact]]:
    """Return the files of a job with their names in the archive.

    The names are checked as keys are: no program that unpacks them can be led out of
    its folder by an absolute or dotted name, or by a backslash.
    """
    return [
        (check_key(f"{output.name}/{artifact.name}"), artifact)
        for output in job.outputs
        for artifact in output.artifacts
    ]


class _Outbox:
    """A stream that cannot seek; keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep some bytes."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: all is kept already."""

    def close(self) -> None:
        """Do nothing: what was written can still be taken."""

    def take(self) -> bytes:
        """Return what was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _zip(
    job: JobRecord, files: list[tuple[str, Artifact]], blobs: BlobStore
) -> Iterator[bytes]:
    """Yield the archive. An error breaks it off, which the client sees."""
    outbox = _Outbox()
    at = time.gmtime((job.finished_at or job.updated_at) / 1000)[:6]
    try:
        with zipfile.ZipFile(outbox, "w") as archive:
            for name, artifact in files:
                info = zipfile.ZipInfo(name, max(at, _EARLIEST))
                info.external_attr = _PLAIN_FILE
                # Decides whether the entry has room for more than 4 GiB.
                info.file_size = artifact.bytes
                content = blobs.read(artifact.key)
                with archive.open(info, "w") as entry:
                    for chunk in content:
                        entry.write(chunk)
                        yield outbox.take()
                yield outbox.take()
        yield outbox.take()
    except FramemillError as error:
        log.warning("archive.cut", job=job.id, code=error.code, detail=error.detail)
        raise
