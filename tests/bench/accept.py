"""How many jobs a second the API accepts, beside a Flask view that does one write.

``./dev bench accept`` runs both under gunicorn as it is shipped, one process each, on
one append-only Valkey, in turns, and prints rates and their ratio, the CPU that one
answer takes of gunicorn and of Valkey, and the times to an answer at half of the
largest rate. Nobody works on the jobs. "each key" has an Idempotency-Key a request.
Aim: a ratio of 0.5 without keys, of 0.4 with both, a 99th percentile of 20 ms.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.access.keys import KeyRecord, Keys
from common.settings.load import Settings
from tests.bench import load
from tests.common import valkey
from tests.conftest import ROOT
from tests.ports import free_port

CONNECTIONS = 8
_START_SECONDS = 60.0
BODY = {
    "source": {"s3": {"bucket": "framemill", "key": "films/clip.mp4"}},
    "outputs": [
        {"kind": "thumbnail", "time": "50%", "width": 640},
        {"kind": "animation", "format": "gif", "start": 1.5, "duration": 3},
    ],
}


VIEW, KEYS, NO_KEYS = "one write", "API", "API, no keys"
IDEMPOTENT = "API, each key"


def requests(token: str | None, *, idempotent: bool = False) -> Callable[[], bytes]:
    """Return what writes the next request; ``idempotent`` gives each its own key."""
    body = json.dumps(BODY).encode()
    lines = [
        "POST /v1/jobs HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    head = "\r\n".join([*lines, ""]).encode()
    if not idempotent:
        whole = head + b"\r\n" + body
        return lambda: whole
    run, numbers = uuid.uuid4().hex.encode(), itertools.count()
    return lambda: (
        head + b"Idempotency-Key: %b-%d\r\n\r\n" % (run, next(numbers)) + body
    )


@dataclass
class Server:
    """One gunicorn under load; ``answers`` and ``cpu`` add up over its rounds."""

    port: int
    request: Callable[[], bytes]
    process: subprocess.Popen[bytes]
    rates: list[float] = field(default_factory=list)
    answers: int = 0
    cpu: float = 0.0
    store_cpu: float = 0.0
    half: load.Result = field(default_factory=load.Result)

    @property
    def rate(self) -> float:
        """Answers a second, the median of all rounds."""
        return statistics.median(self.rates)

    def cpu_seconds(self) -> float:
        """Return what its processes have used so far."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        children = [int(word) for word in listed.read_text().split()]
        return sum(cpu_seconds(pid) for pid in [self.process.pid, *children])


def cpu_seconds(pid: int) -> float:
    """Return what a process has used so far, itself and the kernel for it."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(
    app: str, environment: dict[str, str], sent: Callable[[], bytes]
) -> Iterator[Server]:
    """Run gunicorn with the arguments of Dockerfile.api."""
    port = free_port()
    words = "--worker-class api.server.Worker --threads 16 --no-control-socket"
    command = [sys.executable, "-m", "gunicorn", *words.split()]
    command += ["--worker-tmp-dir", "/dev/shm"]
    command += ["--log-level", "warning", "--bind", f"127.0.0.1:{port}", app]
    given = {k: v for k, v in os.environ.items() if not k.startswith("FRAMEMILL_")}
    process = subprocess.Popen(command, cwd=ROOT, env=given | environment)
    try:
        _await(port, process)
        yield Server(port, sent, process)
    finally:
        process.terminate()
        process.wait(20)


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until the application is loaded, which is after the port is open."""
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60)
        except urllib.error.HTTPError:
            return  # the yardstick has no such address
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("gunicorn did not start")


def measure(servers: dict[str, Server], store: int, rounds: int, span: float) -> None:
    """Load the servers in turns; the first round only warms them up."""
    for number in range(rounds + 1):
        for name, server in servers.items():
            before = server.cpu_seconds(), cpu_seconds(store)
            result = load.run(
                server.port, server.request, seconds=span, connections=CONNECTIONS
            )
            if set(result.statuses) != {202}:
                raise SystemExit(f"{name} answered {result.statuses}")
            if number > 0:
                server.rates.append(result.rate)
                server.answers += len(result.seconds)
                server.cpu += server.cpu_seconds() - before[0]
                server.store_cpu += cpu_seconds(store) - before[1]


def measure_half(servers: dict[str, Server], span: float) -> None:
    """Load each server at half of its rate, for the times to an answer."""
    for server in servers.values():
        server.half = load.run(
            server.port,
            server.request,
            seconds=span,
            connections=4 * CONNECTIONS,
            rate=server.rate / 2,
        )


def report(servers: dict[str, Server]) -> None:
    """Print the table."""
    yardstick = servers[VIEW].rate
    print(f"{'':14}  a second  ratio   CPU ms  store ms   p50 ms  p99 ms (half load)")
    for name, server in servers.items():
        print(
            f"{name:14}{server.rate:10.0f}{server.rate / yardstick:7.2f}"
            f"{server.cpu / server.answers * 1000:9.2f}"
            f"{server.store_cpu / server.answers * 1000:10.2f}"
            f"{server.half.percentile(0.5):9.1f}{server.half.percentile(0.99):8.1f}"
        )


def compare(rounds: int, seconds: float) -> dict[str, Server]:
    """Start everything on loopback, measure, end everything."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        durable = ("--appendonly", "yes", "--appendfsync", "everysec")
        url, store = stack.enter_context(valkey.running(folder, *durable))
        environment = {
            "FRAMEMILL_STORE_URL": url,
            "FRAMEMILL_BROKER_URL": url.removesuffix("0") + "1",
            "FRAMEMILL_API_SECRET": "s" * 40,
            "FRAMEMILL_BLOBS_PATH": str(folder / "blobs"),
            "FRAMEMILL_LIMITS_QUEUED_JOBS": "100000000",
        }
        token = Keys.connect(Settings(store={"url": url})).create(
            KeyRecord(id="bench", name="bench", owner="bench")
        )
        keyless = environment | {"FRAMEMILL_API_AUTH": "false"}
        servers = {
            name: stack.enter_context(serving(app, given, sent))
            for name, app, given, sent in (
                (VIEW, "tests.bench.one_write:app", environment, requests(None)),
                (KEYS, "api.wsgi:app", environment, requests(token)),
                (NO_KEYS, "api.wsgi:app", keyless, requests(None)),
            )
        }
        # The same process, so that no other one takes memory and caches.
        servers[IDEMPOTENT] = Server(
            servers[KEYS].port,
            requests(token, idempotent=True),
            servers[KEYS].process,
        )
        measure(servers, store.pid, rounds, seconds)
        measure_half(servers, 2 * seconds)
        return servers


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2)
    requested = parser.parse_args()
    report(compare(requested.rounds, requested.seconds))


if __name__ == "__main__":
    main()
