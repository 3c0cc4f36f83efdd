"""The folder of ``framemill batch -o``: results, and what a rerun need not do again.

``framemill.json`` in it names the batches and the uploads of earlier runs with the same
request. The service knows what became of them; the file holds nothing that it answers.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .client import Client
from .errors import Refused
from .origins import Origin, identity_of

_RECORD = "framemill.json"
_GONE = frozenset({404, 410})
_UNFIT = frozenset({"failed", "cancelled", "partial"})


def unique_folders(names: Sequence[str]) -> list[str]:
    """Return a folder's name for each source; equal names get a number."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        plain = Path(name).name or "unnamed"
        seen[plain] = count = seen.get(plain, 0) + 1
        found.append(plain if count == 1 else f"{plain} ({count})")
    return found


@dataclass
class BatchFolder:
    """A results folder; ``request`` tells runs with other outputs apart."""

    folder: Path
    request: str
    batches: list[str] = field(default_factory=list)
    uploads: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, requested: dict[str, Any]) -> Self:
        """Make the folder, or read what an earlier run left in it.

        Raises ValueError when another request's results are there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(requested, sort_keys=True)
        request = hashlib.sha256(text.encode()).hexdigest()
        path = folder / _RECORD
        if not path.exists():
            return cls(folder, request)
        known = json.loads(path.read_text("utf-8"))
        if known["request"] != request:
            raise ValueError(
                f"{folder} holds the results of other outputs; name another folder "
                "with -o, or give the same options as when they were made"
            )
        return cls(folder, request, known["batches"], known["uploads"])

    def known(self, client: Client) -> dict[str, dict[str, Any]]:
        """Return the jobs of earlier runs that need no repetition, by their source."""
        jobs: list[dict[str, Any]] = []
        for batch_id in self.batches:
            try:
                jobs += client.jobs(batch_id)
            except Refused as error:
                if error.status not in _GONE:
                    raise
        fit = [job for job in jobs if job["status"] not in _UNFIT]
        return {identity_of(job["source"]): job for job in fit}

    def upload_of(self, origin: Origin, client: Client) -> str | None:
        """Return the upload of a run that was cut off; None when it is gone."""
        upload = self.uploads.get(origin.identity)
        return upload if upload and client.is_uploaded(upload) else None

    def remember_upload(self, origin: Origin, upload: str) -> None:
        """Write down an upload, so that a rerun need not send the file again."""
        self.uploads[origin.identity] = upload
        self._write()

    def remember_batch(self, batch_id: str) -> None:
        """Write down a batch; its uploads have become jobs."""
        self.batches.append(batch_id)
        self.uploads.clear()
        self._write()

    def save(
        self,
        client: Client,
        jobs: list[dict[str, Any]],
        saved: Callable[[Path], None],
    ) -> None:
        """Save the files of every job as ``folder/SOURCE/OUTPUT/FILE``.

        Sources of one name get folders told apart by their content, so that each keeps
        its folder in a rerun.
        """
        jobs = sorted(jobs, key=lambda job: job["created_at"])
        latest = {
            identity_of(job["source"]): job
            for job in jobs
            if any(output["artifacts"] for output in job["outputs"])
        }
        every = {identity_of(job["source"]): _name(job) for job in jobs}
        counts = Counter(every.values())
        for identity, job in latest.items():
            name = _name(job)
            if counts[name] > 1:
                digest = hashlib.sha256(identity.encode()).hexdigest()
                name = f"{name} ({digest[:8]})"
            client.save(job, self.folder / name, saved)

    def _write(self) -> None:
        fresh = self.folder / f"{_RECORD}.part"
        document = {
            "request": self.request,
            "batches": self.batches,
            "uploads": self.uploads,
        }
        fresh.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
        fresh.replace(self.folder / _RECORD)


def _name(job: dict[str, Any]) -> str:
    # The name is anybody's text; only its last part becomes a path.
    return Path(job["source"]["name"] or "").name or str(job["id"])
