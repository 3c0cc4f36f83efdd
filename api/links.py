"""Absolute addresses that need no header: made here, checked here.

An artifact's address is signed by us and its expiry is rounded to whole days, so
that it, and with it a job's ETag, stays the same for a day. What it answers is a
redirect to a fresh grant.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from common.blobs.signing import sign, verify

DAY_SECONDS = 86_400
PURPOSE = "file"
ARTIFACT_PATH = "/v1/jobs/{job_id}/files/{output}/{name}"
SOURCE_PATH = "/v1/jobs/{job_id}/source"


@dataclass(frozen=True)
class Links:
    """Makes addresses below ``root`` (no final slash), signed with ``secret``."""

    root: str
    secret: str

    def job(self, job_id: str, verb: str | None = None) -> str:
        """Give the address of a job, or of one of its verbs."""
        tail = f"/{verb}" if verb else ""
        return f"{self.root}/v1/jobs/{job_id}{tail}"

    def artifact(self, job_id: str, output: str, name: str) -> str:
        """Give the signed address of one artifact, good for 24 to 48 hours."""
        return self._signed(
            ARTIFACT_PATH.format(job_id=job_id, output=output, name=name)
        )

    def source(self, job_id: str) -> str:
        """Give the signed address of a job's source, good for 24 to 48 hours."""
        return self._signed(SOURCE_PATH.format(job_id=job_id))

    def _signed(self, path: str) -> str:
        expires_at = (int(time.time()) // DAY_SECONDS + 2) * DAY_SECONDS
        return self.root + sign(self.secret, PURPOSE, path, expires_at, {})


def check(secret: str, path: str, query: Mapping[str, str]) -> None:
    """Raise Forbidden unless ``path`` and ``query`` are a link of ours, unexpired."""
    verify(secret, PURPOSE, path, query)
