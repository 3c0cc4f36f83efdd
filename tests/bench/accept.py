"""How many requests a second the API answers, beside a bare Flask view.

``./dev bench accept`` runs gunicorn as it is shipped, one process for each row of
servers, on one append-only Valkey, in turns. The yardstick is a Flask view that does
one write to Redis, or one read, and nothing else. It prints rates and their ratio to
the yardstick's, the CPU that one answer takes of gunicorn and of Valkey, the calls to
Redis and the commands that its scripts run there, and the times to an answer at half
of the row's rate. Nobody works on the jobs.

Aims: accepting a job without API keys at half of the yardstick's rate or more, with a
key and an Idempotency-Key at 0.4 of it, and 99 of 100 answers within 20 ms. A third
table compares FRAMEMILL_STORE_DURABILITY=storage with ``store``; it has no aim.
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
from typing import Any

import redis

from common.access.keys import KeyRecord, Keys
from common.settings.load import Settings
from tests.api.uploads.context import rclone
from tests.bench import load, usage
from tests.common import valkey
from tests.conftest import ROOT
from tests.e2e.context import BUCKET, s3_settings
from tests.e2e.context import KEYS as S3_KEYS
from tests.ports import free_port

VIEW, NO_KEYS, KEYS = "bare view, one write", "no API keys", "API key"
IDEMPOTENT = "API key, Idempotency-Key"
READ = "bare view, one read"
CONNECTIONS = 8
PAGE = 50
_START_SECONDS = 60.0
BODY = {
    "source": {"s3": {"bucket": "framemill", "key": "films/clip.mp4"}},
    "outputs": [
        {"kind": "thumbnail", "time": "50%", "width": 640},
        {"kind": "animation", "format": "gif", "start": 1.5, "duration": 3},
    ],
}


def post(token: str | None = None, key: str | None = None) -> bytes:
    """Write a request that submits the job."""
    body = json.dumps(BODY).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if key is not None:
        headers["Idempotency-Key"] = key
    return request("POST", "/v1/jobs", headers) + body


def request(method: str, path: str, headers: dict[str, str]) -> bytes:
    """Write the head of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass
class Server:
    """One gunicorn under load."""

    port: int
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return what its processes have used so far."""
        return usage.cpu_seconds({"server": self.process.pid})["server"]


@dataclass(frozen=True)
class Store:
    """The server of the job store."""

    client: redis.Redis
    pid: int


@dataclass
class Row:
    """One kind of request to one server; ``aim`` is the ratio that it should reach."""

    name: str
    server: Server
    request: Callable[[], bytes]
    status: int
    aim: float | None = None
    rates: list[float] = field(default_factory=list)
    answers: int = 0
    cpu: float = 0.0
    store_cpu: float = 0.0
    half: load.Result = field(default_factory=load.Result)

    @property
    def rate(self) -> float:
        """Answers a second, the median of all rounds."""
        return statistics.median(self.rates)

    def run(self, seconds: float, rate: float | None = None) -> load.Result:
        """Load the server; raises SystemExit for an answer of another status."""
        # Each is used every second: gunicorn closes those that rest for longer.
        many = CONNECTIONS if rate is None else min(4 * CONNECTIONS, int(rate))
        result = load.run(
            self.server.port,
            self.request,
            seconds=seconds,
            connections=max(CONNECTIONS, many),
            rate=rate,
        )
        if set(result.statuses) != {self.status}:
            raise SystemExit(f"{self.name}: answered {result.statuses}")
        return result

    def once(self) -> None:
        """Send one request, and await its answer."""
        load.once(self.server.port, self.request())


@contextmanager
def serving(app: str, environment: dict[str, str]) -> Iterator[Server]:
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
        yield Server(port, process)
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


def submitted(server: Server) -> tuple[str, str]:
    """Submit a job, and return its path and its ETag."""
    address = f"http://127.0.0.1:{server.port}/v1/jobs"
    headers = {"Content-Type": "application/json"}
    submission = urllib.request.Request(address, json.dumps(BODY).encode(), headers)
    job_id = json.load(urllib.request.urlopen(submission, timeout=60))["id"]
    # As the load generator sends it: the links in the answer depend on the Host.
    shown = urllib.request.Request(f"{address}/{job_id}", headers={"Host": "127.0.0.1"})
    tag = urllib.request.urlopen(shown, timeout=60).headers["ETag"] or ""
    return f"/v1/jobs/{job_id}", tag


def rows_of(
    bare: Server, keyed: Server, keyless: Server, token: str
) -> dict[str, list[Row]]:
    """Return the rows; the first of each group is what the others are compared to."""
    run, numbers = uuid.uuid4().hex, itertools.count()
    # As many as the page that is listed.
    path, tag = [submitted(keyless) for _ in range(PAGE)][-1]
    kept, _ = submitted(bare)

    def always(sent: bytes) -> Callable[[], bytes]:
        return lambda: sent

    def get(path: str, **headers: str) -> Callable[[], bytes]:
        return always(request("GET", path, headers))

    return {
        "accept": [
            Row(VIEW, bare, always(post()), 202),
            Row(NO_KEYS, keyless, always(post()), 202, 0.5),
            Row(KEYS, keyed, always(post(token)), 202),
            Row(
                IDEMPOTENT,
                keyed,
                lambda: post(token, f"{run}-{next(numbers)}"),
                202,
                0.4,
            ),
        ],
        "read": [
            Row(READ, bare, get(kept), 200),
            Row("job, changed", keyless, get(path), 200),
            Row("job, unchanged", keyless, get(path, **{"If-None-Match": tag}), 304),
            Row(f"{PAGE} jobs", keyless, get(f"/v1/jobs?limit={PAGE}"), 200),
        ],
    }


def durability_rows(
    store: Server, folder: Server, bucket: Server
) -> dict[str, list[Row]]:
    """Return the rows that tell what FRAMEMILL_STORE_DURABILITY=storage costs."""
    return {
        "durability": [
            Row("store", store, post, 202),
            Row("storage: a folder", folder, post, 202),
            Row("storage: S3 (rclone)", bucket, post, 202),
        ]
    }


def measure(rows: list[Row], store: int, rounds: int, span: float) -> None:
    """Load the servers in turns, then each at half of its rate.

    The first round only warms them up.
    """
    for number in range(rounds + 1):
        for row in rows:
            before = row.server.cpu_seconds(), usage.own_seconds(store)
            result = row.run(span)
            if number > 0:
                row.rates.append(result.rate)
                row.answers += len(result.seconds)
                row.cpu += row.server.cpu_seconds() - before[0]
                row.store_cpu += usage.own_seconds(store) - before[1]
    for row in rows:
        row.half = row.run(2 * span, row.rate / 2)


def calls_of(row: Row, client: redis.Redis) -> tuple[int, int]:
    """Count what one request asks of the job store: calls, and commands in scripts.

    The fewest of several requests: a thread's first one connects.
    """
    return min(_calls_of_one(row, client) for _ in range(5))


def _calls_of_one(row: Row, client: redis.Redis) -> tuple[int, int]:
    with client.monitor() as monitor:
        row.once()
        client.echo("end")
        lines: list[Any] = []
        for line in monitor.listen():
            if line["command"].startswith("ECHO"):
                break
            lines.append(line)
    inside = [line for line in lines if line["client_type"] == "lua"]
    store = [line for line in lines if line["db"] == 0]
    return len(store) - len(inside), len(inside)


def report(group: list[Row], client: redis.Redis) -> None:
    """Print a table, with the times to an answer at half load."""
    print(
        f"{'':26}  a second  ratio  aim   CPU ms  store ms  calls  commands"
        "   p50 ms  p99 ms (half load)"
    )
    for row in group:
        calls, inside = calls_of(row, client)
        aim = "" if row.aim is None else f"{row.aim:.1f}"
        print(
            f"{row.name:26}{row.rate:10.0f}{row.rate / group[0].rate:7.2f}{aim:>5}"
            f"{row.cpu / row.answers * 1000:9.2f}"
            f"{row.store_cpu / row.answers * 1000:10.2f}{calls:7}{inside:10}"
            f"{row.half.percentile(0.5):9.1f}{row.half.percentile(0.99):8.1f}"
        )
    print()


@contextmanager
def serving_all() -> Iterator[tuple[dict[str, list[Row]], Store]]:
    """Start everything on loopback, and end it after the block."""
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
        rows = rows_of(
            stack.enter_context(serving("tests.bench.one_write:app", environment)),
            stack.enter_context(serving("api.wsgi:app", environment)),
            stack.enter_context(serving("api.wsgi:app", keyless)),
            token,
        )
        first = keyless | {"FRAMEMILL_STORE_DURABILITY": "storage"}
        (folder / "s3" / BUCKET).mkdir(parents=True)
        endpoint = stack.enter_context(rclone(folder / "s3", S3_KEYS))
        rows |= durability_rows(
            rows["accept"][1].server,
            stack.enter_context(serving("api.wsgi:app", first)),
            stack.enter_context(serving("api.wsgi:app", first | s3_settings(endpoint))),
        )
        yield rows, Store(redis.Redis.from_url(url), store.pid)


def compare(rounds: int, seconds: float) -> dict[str, Row]:
    """Return the measured rows of acceptance, by name."""
    with serving_all() as (groups, store):
        measure(groups["accept"], store.pid, rounds, seconds)
        return {row.name: row for row in groups["accept"]}


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", choices=["accept", "read", "durability"])
    requested = parser.parse_args()
    with serving_all() as (groups, store):
        for name, group in groups.items():
            if requested.only in {None, name}:
                measure(group, store.pid, requested.rounds, requested.seconds)
                report(group, store.client)


if __name__ == "__main__":
    main()
