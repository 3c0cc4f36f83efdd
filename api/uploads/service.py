"""What all uploads have in common: opening, closing, starting their job."""

from __future__ import annotations

from api.http.services import Services
from api.jobs.submission import JobTerms
from common.access.principal import Principal
from common.errors import BodyTooLarge
from common.jobs.store import Idempotency
from common.uploads import NewUpload, Upload


def find_upload(services: Services, upload_id: str) -> Upload:
    """Read an upload of the caller's; raises NotFound."""
    return services.uploads.get(upload_id, services.enter("submit").owner)


def open_upload(services: Services, who: Principal, new: NewUpload) -> Upload:
    """Store a new upload, within what the caller's key allows."""
    most = who.allowance.source_bytes
    if most is not None and new.size > most:
        raise BodyTooLarge(
            f"the file has {new.size} bytes; this API key may upload {most}"
        )
    room = None
    if who.key_id is not None:
        limits = services.runtime.settings.limits
        room = who.allowance.uploads_at_once or limits.uploads_at_once
    if new.job is None:
        return services.uploads.create(new, room)
    upload = services.uploads.create(new, room, services.authenticator.quota(who))
    services.authenticator.job_counted()
    return upload


def close_upload(
    services: Services, upload: Upload, etags: dict[int, str] | None = None
) -> Upload:
    """Close an upload whose bytes are all there, and start its job.

    Crash windows: after the blob, after the record, after the job. Each step may
    be repeated, so the next request for this upload continues where it broke.
    """
    upload = services.uploads.finish(upload, etags)
    if upload.job is None or upload.used:
        return upload
    services.runtime.jobs.submit(
        JobTerms.load(upload.owner, upload.job).over(
            upload.source(),
            job_id=upload.id,
            idempotency=Idempotency(f"upload:{upload.id}", upload.id),
        )
    )
    services.uploads.use(upload)
    return upload
