"""What the ways to upload have in common: the context, the job attached in advance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import request
from werkzeug.exceptions import HTTPException

from api.http.auth import Authenticator, enter
from api.jobs.destinations import job_options
from api.jobs.outputs import check_metadata, chosen_outputs
from api.jobs.schemas import FormRequest
from api.jobs.subscriptions import as_stored
from common.access.keys import Scope
from common.access.principal import Principal
from common.errors import BadRequest, BodyTooLarge
from common.jobs.service import Submission, name_outputs
from common.jobs.store import Idempotency
from common.outputs.specs import OUTPUT_SPEC
from common.runtime import Runtime
from common.uploads import NewUpload, Upload, Uploads

_READ_BYTES = 256 * 1024


@dataclass(frozen=True)
class UploadsContext:
    """What the views of uploads stand on."""

    runtime: Runtime
    uploads: Uploads
    authenticator: Authenticator

    def enter(self, scope: Scope) -> Principal:
        """Tell who is asking; raises what the guard raises."""
        return enter(self.authenticator, scope)

    def root(self) -> str:
        """Give the address of this API as the caller sees it."""
        return (self.runtime.settings.api.public_url or request.url_root).rstrip("/")

    def find(self, upload_id: str) -> Upload:
        """Read an upload of the caller's; raises NotFound."""
        return self.uploads.get(upload_id, self.enter("submit").owner)

    def create(self, who: Principal, new: NewUpload) -> Upload:
        """Open an upload within what the caller's key allows."""
        most = who.allowance.source_bytes
        if most is not None and new.size > most:
            raise BodyTooLarge(f"this API key may upload at most {most} bytes")
        room = None
        if who.key_id is not None:
            limits = self.runtime.settings.limits
            room = who.allowance.uploads_at_once or limits.uploads_at_once
        if new.job is None:
            return self.uploads.create(new, room)
        upload = self.uploads.create(new, room, self.authenticator.quota(who))
        self.authenticator.job_counted()
        return upload

    def attach(self, requested: FormRequest, who: Principal) -> dict[str, Any]:
        """Check a job that is to start later; gives what the upload keeps of it.

        Presets are resolved now: the job is what was asked, whenever it starts.
        """
        settings = self.runtime.settings
        document = {"metadata": requested.metadata}
        check_metadata(document, settings.limits.metadata_bytes, "/job")
        outputs = chosen_outputs(settings, requested, "/job")
        name_outputs(outputs, "/job")
        options = job_options(self.runtime, who, requested, "/job")
        return {
            "outputs": [spec.model_dump(mode="json") for spec in outputs],
            "subscriptions": as_stored(requested.notify, who, settings, "/job"),
            "metadata": requested.metadata,
            "options": options,
            "jobs_at_once": who.allowance.jobs_at_once,
        }

    def settle(self, upload: Upload, etags: dict[int, str] | None = None) -> Upload:
        """Close an upload whose bytes are all there, and start its job.

        Crash windows: after the blob, after the record, after the job. Each step may
        be repeated, so the next request for this upload goes on where it broke.
        """
        upload = self.uploads.finish(upload, etags)
        if upload.job is None or upload.used:
            return upload
        job = upload.job
        self.runtime.jobs.submit(
            Submission(
                owner=upload.owner,
                source=upload.source(),
                outputs=[
                    OUTPUT_SPEC.validate_json(json.dumps(spec))
                    for spec in job["outputs"]
                ],
                subscriptions=job["subscriptions"],
                metadata=job["metadata"],
                options=job["options"],
                job_id=upload.id,
                idempotency=Idempotency(f"upload:{upload.id}", upload.id),
                jobs_at_once=job["jobs_at_once"],
            )
        )
        self.uploads.use(upload)
        return upload


def body_chunks() -> Iterator[bytes]:
    """Read the request's body; raises BadRequest where the client goes away."""
    while True:
        try:
            chunk = request.stream.read(_READ_BYTES)
        except (OSError, HTTPException) as error:
            raise BadRequest("the body ended before it was complete") from error
        if not chunk:
            return
        yield chunk
