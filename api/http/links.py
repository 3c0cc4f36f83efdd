"""Absolute addresses of a job and of its files, as this caller can follow them."""

from __future__ import annotations

from dataclasses import dataclass

from common.model import Artifact, OutputRecord
from common.settings.load import Settings
from common.storage.links import artifact_url, document_tag, source_url


@dataclass(frozen=True)
class Links:
    """Builds addresses below ``root``, which has no final slash.

    Links to files end at ``until`` (Unix seconds), if that is before their own end.
    """

    root: str
    settings: Settings
    until: int | None = None

    def job(self, job_id: str, verb: str | None = None) -> str:
        """Return the address of a job, or of an action on it, such as "cancel"."""
        tail = f"/{verb}" if verb else ""
        return f"{self.root}/v1/jobs/{job_id}{tail}"

    def batch(self, batch_id: str, verb: str | None = None) -> str:
        """Return the address of a batch, or of an action on it."""
        tail = f"/{verb}" if verb else ""
        return f"{self.root}/v1/batches/{batch_id}{tail}"

    def batch_jobs(self, batch_id: str) -> str:
        """Return the address of the list of a batch's jobs."""
        return f"{self.root}/v1/jobs?batch={batch_id}"

    def artifact(self, job_id: str, output: OutputRecord, artifact: Artifact) -> str:
        """Return the signed address of one artifact of an output."""
        return artifact_url(
            self.root, self.settings, job_id, output, artifact, self.until
        )

    def source(self, job_id: str) -> str:
        """Return the signed address of a job's source."""
        return source_url(self.root, self.settings, job_id, self.until)

    def tag(self, *facts: str | int) -> str:
        """Return the ETag of a document that ``facts`` and its links determine."""
        return document_tag(self.root, self.settings, facts)
