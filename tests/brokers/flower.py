"""Flower beside a service of a test, to see what it sees by that broker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.service import ROOT, Service, until
from tests.ports import free_port


class Flower:
    """Flower's own API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self._url + path, timeout=30) as answer:
            return json.load(answer)

    def await_task(self) -> None:
        """Wait until it shows a worker that has ended a task of ours."""
        until(self._has_task, 60, "Flower shows a task that a worker has ended")

    def _has_task(self) -> bool:
        tasks = self.get("/api/tasks").values()
        return any(
            task["name"] == "framemill.render"
            and task["state"] == "SUCCESS"
            and task["worker"].startswith("worker@")
            for task in tasks
        )

    def hears(self) -> bool:
        """Return whether a worker's event has come; one from before is never seen."""
        workers = self.get("/workers?json=1")["data"]
        return any(one["hostname"].startswith("worker@") for one in workers)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/healthcheck", timeout=5):
                return True
        except OSError:
            return False


@contextmanager
def running(service: Service, folder: Path, *options: str) -> Iterator[Flower]:
    """Run Flower on the service's broker; it forgets all when it ends."""
    port = free_port()
    broker = service.environment["FRAMEMILL_BROKER_URL"]
    words = [sys.executable, "-m", "celery", *options, "--broker", broker, "flower"]
    with (folder / "flower.log").open("wb") as log:
        process = subprocess.Popen(
            [*words, "--address=127.0.0.1", f"--port={port}"],
            cwd=ROOT,
            env=service.environment | {"FLOWER_UNAUTHENTICATED_API": "true"},
            stdout=log,
            stderr=log,
        )
    flower = Flower(port)
    try:
        until(flower.answers, 120, "Flower answers")
        until(flower.hears, 60, "Flower hears a worker")
        yield flower
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
