"""Signed links to a job's files, which need no key: for documents and for mails."""

from __future__ import annotations

import time
from urllib.parse import quote

from common.blobs.signing import seal, sign
from common.config import Settings
from common.model import Artifact

DAY_SECONDS = 86_400
_LINK_DAYS = 8


def artifact_url(base: str, settings: Settings, job_id: str, artifact: Artifact) -> str:
    """Give the link of an artifact: absolute, good for a week, stable for a day.

    ``base`` is the address of this API as its callers see it.
    """
    folder, _, file = place_of(artifact).rpartition("/")
    path = f"/v1/files/{job_id}/{folder}"
    opens = seal(settings.api.secret, "file", path, _expiry())
    return f"{base.rstrip('/')}{quote(f'{path}/{opens}/{file}')}"


def place_of(artifact: Artifact) -> str:
    """Give where an artifact lies within its job: ``OUTPUT/FENCE/FILE``."""
    return artifact.key.split("/", 2)[2]


def source_url(base: str, settings: Settings, job_id: str) -> str:
    """Give the link of a job's kept source, served as an attachment."""
    path = f"/v1/files/{job_id}/source"
    return base.rstrip("/") + sign(settings.api.secret, "file", path, _expiry(), {})


def _expiry() -> int:
    # Rounded up to a UTC day, so that a document keeps its ETag until midnight.
    return (int(time.time()) // DAY_SECONDS + _LINK_DAYS) * DAY_SECONDS
