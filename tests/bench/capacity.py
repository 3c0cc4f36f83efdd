"""What a job costs Redis, and how the work follows the number of workers.

``./dev bench capacity`` accepts jobs over a tiny clip, runs them by 1, 2 and 4 worker
processes, and prints

- the memory of a job in the store, by kind of key, as accepted and as completed, on a
  server as it comes and with the options that docs/how-to/deploy.md recommends;
- the CPU of the store for single calls: heartbeats, polls, a page of a list;
- for each number of processes: jobs a second, and for each job the calls, commands,
  bytes and CPU of the store and of the broker;
- what idle workers and the maintenance ask of both, a second.

The jobs are one thumbnail each, and wait for nothing. FFmpeg runs beside the servers,
so the rates compare only within a run, and only up to the number of cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from common.jobs.queue import connect
from common.jobs.service import Submission
from common.jobs.store import Claim
from common.model import Source
from common.outputs.specs import ThumbnailSpec
from common.runtime import Runtime, build_runtime
from common.settings.load import Settings
from deploy.allinone.embedded import SMALL_RECORDS
from tests.common import valkey
from tests.conftest import ROOT
from worker.media.ffmpeg import binary

PROCESSES = (1, 2, 4)
_LONGEST_SECONDS = 300.0
_KEY = "films/tiny.mp4"


@dataclass(frozen=True)
class Usage:
    """What a server has done up to a moment; differences are of an interval."""

    calls: Counter[str]
    bytes: int
    cpu: float

    def __sub__(self, other: Usage) -> Usage:
        calls = Counter(self.calls)
        calls.subtract(other.calls)
        return Usage(+calls, self.bytes - other.bytes, self.cpu - other.cpu)


@dataclass(frozen=True)
class Server:
    """One Valkey, and its client."""

    url: str

    @property
    def client(self) -> redis.Redis:
        """Return a client that decodes nothing."""
        return redis.Redis.from_url(self.url)

    def usage(self) -> Usage:
        """Return what the server has done so far."""
        with self.client as client:
            commands: Any = client.info("commandstats")
            traffic: Any = client.info("stats")
            used: Any = client.info("cpu")
        calls = Counter(
            {
                name.removeprefix("cmdstat_"): one["calls"]
                for name, one in commands.items()
            }
        )
        moved = traffic["total_net_input_bytes"] + traffic["total_net_output_bytes"]
        return Usage(calls, moved, used["used_cpu_user"] + used["used_cpu_sys"])

    def connections(self) -> int:
        """Return how many clients are connected, but for this one."""
        with self.client as client:
            clients: Any = client.info("clients")
        return int(clients["connected_clients"]) - 1


@dataclass(frozen=True)
class Bench:
    """A store, a broker and the settings that name them."""

    store: Server
    broker: Server
    environment: dict[str, str]
    runtime: Runtime

    def submit(self, number: int) -> list[str]:
        """Submit that many jobs, and return their ids."""
        source = Source(kind="s3", bucket="framemill", key=_KEY, name="tiny.mp4")
        outputs = [ThumbnailSpec(kind="thumbnail", width=64)]
        return [
            self.runtime.jobs.submit(Submission("bench", source, outputs)).job.id
            for _ in range(number)
        ]

    def await_end(self, jobs: list[str]) -> None:
        """Wait until all have ended; raises SystemExit unless all are completed."""
        deadline = time.monotonic() + _LONGEST_SECONDS
        unfinished = [f"fm:jobs:{status}" for status in ("accepted", "processing")]
        with self.store.client as client:
            while any(client.zcard(name) for name in unfinished):
                if time.monotonic() > deadline:
                    raise SystemExit("the jobs did not end")
                time.sleep(1)
            if client.zcard("fm:jobs:completed") < len(jobs):
                raise SystemExit("not all jobs are completed")

    def seconds(self, jobs: list[str]) -> float:
        """Return the time from the first claim to the last end."""
        begins, ends = [], []
        for job_id in jobs:
            events = self.runtime.store.events(job_id)
            begins.append(next(e.at for e in events if e.type == "job.processing"))
            ends.append(events[-1].at)
        return (max(ends) - min(begins)) / 1000


@contextmanager
def services(options: tuple[str, ...] = ()) -> Iterator[Bench]:
    """Run a store and a broker, with a tiny clip in a folder as storage."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        durable = ("--appendonly", "yes", "--appendfsync", "everysec", *options)
        servers = []
        for name in ("store", "broker"):
            (folder / name).mkdir()
            running_server = valkey.running(folder / name, *durable)
            servers.append(Server(stack.enter_context(running_server)[0]))
        environment = {
            "FRAMEMILL_STORE_URL": servers[0].url,
            "FRAMEMILL_BROKER_URL": servers[1].url,
            "FRAMEMILL_API_SECRET": "s" * 40,
            "FRAMEMILL_BLOBS_PATH": str(folder / "blobs"),
            "FRAMEMILL_WORKER_SCRATCH": str(folder / "scratch"),
            "FRAMEMILL_LOG_LEVEL": "warning",
        }
        settings = Settings.model_validate(
            {
                "store": {"url": servers[0].url},
                "broker": {"url": servers[1].url},
                "api": {"secret": "s" * 40},
                "blobs": {"path": str(folder / "blobs")},
            }
        )
        runtime = build_runtime(settings, connect(settings))
        make_clip(folder / "tiny.mp4", settings)
        with runtime.blobs.writer(_KEY, content_type="video/mp4") as writer:
            writer.write((folder / "tiny.mp4").read_bytes())
            writer.commit()
        yield Bench(servers[0], servers[1], environment, runtime)


def make_clip(path: Path, settings: Settings) -> None:
    """Write a clip of ten small frames."""
    source = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=1"]
    words = [str(binary.path(settings)), "-v", "error", *source]
    subprocess.run([*words, "-pix_fmt", "yuv420p", str(path)], check=True)


@contextmanager
def running(bench: Bench, module: str, *words: str) -> Iterator[None]:
    """Run a part of the service."""
    given = {k: v for k, v in os.environ.items() if not k.startswith("FRAMEMILL_")}
    part = subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=given | bench.environment | {"REMAP_SIGTERM": "SIGQUIT"},
        stdout=subprocess.DEVNULL,  # Celery's banner
    )
    try:
        yield
    finally:
        part.terminate()
        part.wait(90)


def workers(bench: Bench, processes: int) -> Any:
    """Run a worker with that many processes."""
    words = ["-A", "worker.app", "worker", "-Q", "fast,slow", "-c", str(processes)]
    words += ["--without-gossip", "--without-mingle", "-l", "warning"]
    return running(bench, "celery", *words)


def memory(bench: Bench) -> Counter[str]:
    """Return the bytes of the store's keys, by kind."""
    found: Counter[str] = Counter()
    with bench.store.client as client:
        for key in client.scan_iter(count=1000):
            words = key.decode().split(":")
            kind = " ".join([words[1], *words[3:4]])  # the role of a task, an owner
            found[kind] += client.memory_usage(key, samples=0) or 0
    return found


def measure_memory(jobs: int, options: tuple[str, ...]) -> None:
    """Print the bytes of a job by kind of key, as accepted and as completed."""
    with services(options) as bench:
        kept = bench.submit(jobs)
        accepted = memory(bench)
        with workers(bench, 2):
            bench.await_end(kept)
            completed = memory(bench)
    print(
        f"\nbytes of a job in the store ({' '.join(options) or 'server as it comes'})"
    )
    for kind in sorted(accepted | completed):
        now, then = accepted[kind] / jobs, completed[kind] / jobs
        print(f"{kind:20}{now:10.0f} accepted{then:10.0f} completed")
    print(f"{'all':20}{accepted.total() / jobs:10.0f} {completed.total() / jobs:18.0f}")


def measure_run(jobs: int, processes: int) -> None:
    """Print what a job costs both servers from its acceptance to its end."""
    with services(SMALL_RECORDS) as bench:
        before = bench.store.usage(), bench.broker.usage()
        kept = bench.submit(jobs)
        accepted = bench.store.usage(), bench.broker.usage()
        with running(bench, "worker.maintenance"), workers(bench, processes):
            bench.await_end(kept)
            linked = bench.store.connections(), bench.broker.connections()
        ended = bench.store.usage(), bench.broker.usage()
        seconds = bench.seconds(kept)
    print(f"\n{processes} processes: {jobs / seconds:.2f} jobs a second")
    for number, name in enumerate(("store", "broker")):
        print(f"{name}: {linked[number]} connections of workers and maintenance")
        show(f"{name}, to accept one", accepted[number] - before[number], jobs)
        show(f"{name}, to do it", ended[number] - accepted[number], jobs)


def measure_calls(times: int) -> None:
    """Print the CPU of the store for single calls."""
    with services(SMALL_RECORDS) as bench:
        store = bench.runtime.store
        jobs = bench.submit(60)
        claim = store.claim(f"{jobs[0]}:prepare", "token", "host:1")
        if not isinstance(claim, Claim):
            raise SystemExit(f"the task was refused: {claim.reason}")
        calls: dict[str, Callable[[int], object]] = {
            "heartbeat": lambda _: store.beat(claim, 0.0),
            "heartbeat with progress": lambda n: store.beat(claim, n % 100),
            "poll, unchanged": lambda _: store.version(jobs[1]),
            "poll, changed": lambda _: store.get(jobs[1]),
            "page of 50 jobs": lambda _: store.list("bench", limit=50),
            "worker's sign of life": lambda n: store.worker_alive(f"w{n % 20}", {}),
        }
        print("\nsingle calls of the store")
        for name, call in calls.items():
            before = bench.store.usage()
            for number in range(times):
                call(number)
            show(name, bench.store.usage() - before, times)


def measure_idle(seconds: float) -> None:
    """Print what idle parts ask of both servers, a second."""
    with services(SMALL_RECORDS) as bench:
        with running(bench, "worker.maintenance"):
            show_idle(bench, "maintenance", seconds)
        for processes in (1, 4):
            with workers(bench, processes):
                show_idle(bench, f"a worker of {processes} processes", seconds)


def show_idle(bench: Bench, name: str, seconds: float) -> None:
    """Print the usage of an idle part that has just been started."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < deadline:
        time.sleep(1)
        stats = bench.runtime.store.stats()
        if stats.workers or stats.reaper_seconds is not None:
            break
    before = bench.store.usage(), bench.broker.usage()
    time.sleep(seconds)
    print(f"\nidle, a second: {name}")
    show("store", bench.store.usage() - before[0], seconds)
    show("broker", bench.broker.usage() - before[1], seconds)


def show(name: str, used: Usage, share: float) -> None:
    """Print a usage, divided by a number of jobs or seconds."""
    calls = Counter({k: n for k, n in used.calls.items() if not k.startswith("info")})
    scripts = sum(n for k, n in calls.items() if k.startswith("evalsha"))
    most = ", ".join(f"{k} {n / share:.1f}" for k, n in calls.most_common(6))
    print(
        f"{name:24}{calls.total() / share:7.1f} commands,{scripts / share:5.1f} scripts"
        f",{used.bytes / share:7.0f} bytes,{used.cpu / share * 1000:6.2f} ms of CPU"
    )
    print(f"{'':24}   {most}")


def main() -> None:
    """Start everything on loopback, measure, end everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--idle-seconds", type=float, default=20)
    parser.add_argument("--only", choices=["memory", "calls", "runs", "idle"])
    requested = parser.parse_args()
    if requested.only in {None, "memory"}:
        for options in ((), SMALL_RECORDS):
            measure_memory(requested.jobs, options)
    if requested.only in {None, "calls"}:
        measure_calls(500)
    if requested.only in {None, "runs"}:
        for processes in PROCESSES:
            measure_run(requested.jobs, processes)
    if requested.only in {None, "idle"}:
        measure_idle(requested.idle_seconds)


if __name__ == "__main__":
    main()
