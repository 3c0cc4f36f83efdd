"""The processes of a running service, for tests that kill them."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Let processes stand still until the block ends."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def claims(service: Service) -> int:
    """Return how many tasks of work are in the hands of workers."""
    text = service.ask("/metrics").body.decode()
    found = re.search(r"^framemill_tasks_leased ([\d.]+)$", text, re.MULTILINE)
    assert found, "/metrics does not say how many claims there are"
    return int(float(found[1]))


def lose_one_claim(service: Service, job: dict[str, Any]) -> None:
    """Let the worker stand still until the service has taken one claim from it.

    The job's one output is at work. A worker that is met between two claims has none
    to lose: it goes on, and is stopped again. Raises AssertionError after a minute.
    """
    pids = [service.state["children"]["worker"], *pool_children(service.data)]
    deadline = time.monotonic() + 60
    while True:
        with stopped(pids):
            while claims(service):
                assert time.monotonic() < deadline, "no claim was lost within 60 s"
                time.sleep(0.2)
            job = service.ask(f"/v1/jobs/{job['id']}").json()
        if any(one["error"] for one in job["outputs"][0]["attempts"]):
            return
        assert job["status"] not in ENDED, "the worker was never stopped at work"
        assert time.monotonic() < deadline, "the worker was not at work within 60 s"
        time.sleep(0.1)


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
