"""The processes of a running service, for tests that kill them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.acceptance.service import ENDED, Service


def pool_children(data: Path) -> list[int]:
    """Return the processes of the worker's pool of the service on that folder."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                variables = (folder / "environ").read_bytes()
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if b"worker.app" in words and str(data).encode() in variables:
                found[int(folder.name)] = parent
    return [pid for pid, parent in found.items() if parent in found]


def await_progress(
    service: Service, job: dict[str, Any], percent: float
) -> dict[str, Any]:
    """Return a job's document once it is over ``percent`` and still at work."""
    deadline = time.monotonic() + 120
    while job["progress"] <= percent:
        assert time.monotonic() < deadline, job
        assert job["status"] not in ENDED, "the job ended too soon"
        job = service.ask(f"/v1/jobs/{job['id']}").json()
    assert job["status"] not in ENDED, "the job ended too soon"
    return job
