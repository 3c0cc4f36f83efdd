"""What the ways to upload have in common: the desk, the job attached in advance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import request
from pydantic import TypeAdapter
from werkzeug.exceptions import HTTPException

from api.faults import validate
from api.guard import Authenticator, Principal, enter
from api.schema import FormRequest
from common.errors import BadRequest, BodyTooLarge, Invalid
from common.intake import Submission, name_outputs
from common.jobstore import Idempotency
from common.keys import Scope
from common.runtime import Runtime
from common.uploads import NewUpload, Upload, Uploads

_FORM: TypeAdapter[FormRequest] = TypeAdapter(FormRequest)
_READ_BYTES = 256 * 1024


@dataclass(frozen=True)
class Counter:
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
        if new.job is None:
            return self.uploads.create(new)
        self.authenticator.spend(who)
        try:
            return self.uploads.create(new)
        except BaseException:
            self.authenticator.refund(who)
            raise

    def attach(self, who: Principal, document: Any, where: str) -> dict[str, Any]:
        """Check a job that is to start later; gives what the upload keeps of it."""
        asked = validate(_FORM, document, (where,))
        most = self.runtime.settings.limits.metadata_bytes
        if len(json.dumps(asked.metadata, ensure_ascii=False).encode()) > most:
            raise Invalid.one(f"/{where}/metadata", f"metadata is over {most} bytes")
        name_outputs(asked.outputs or ())
        allowed = who.allowance
        return {
            "asked": document,
            "jobs_at_once": allowed.jobs_at_once,
            "options": {
                name: value
                for name, value in (
                    ("max_bytes", allowed.source_bytes),
                    ("max_seconds", allowed.source_seconds),
                )
                if value is not None
            },
        }

    def settle(self, upload: Upload, etags: dict[int, str] | None = None) -> Upload:
        """Close an upload whose bytes are all there, and start its job.

        Crash windows: after the blob, after the record, after the job. Each step may
        be repeated, so the next request for this upload goes on where it broke.
        """
        upload = self.uploads.finish(upload, etags)
        if upload.job is None or upload.used:
            return upload
        asked = validate(_FORM, upload.job["asked"], ("job",))
        self.runtime.intake.submit(
            Submission(
                owner=upload.owner,
                source=upload.source(),
                outputs=asked.outputs or (),
                metadata=asked.metadata,
                options=upload.job["options"],
                job_id=upload.id,
                idempotency=Idempotency(f"upload:{upload.id}", upload.id),
                jobs_at_once=upload.job["jobs_at_once"],
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
