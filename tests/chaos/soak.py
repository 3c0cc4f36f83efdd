"""Run the whole service under a light steady load, and see what grows.

``./dev soak --minutes 120`` starts what ``./dev up`` starts, with a retention of six
minutes, so that things come and go. Ten times a minute it asks for something: uploads
(one request, or resumable), objects of the bucket, jobs that are cancelled, files that
are no videos, requests that are refused, uploads that are never sent; every job has a
source of its own and a webhook. Each result is fetched, and a third of the jobs are
deleted by hand.

Each minute it takes a sample of every part: resident memory, open files, threads; of
both Valkeys: connections, keys, memory; of the disk: scratch files, objects, logs,
append-only files. The first ten minutes (a sixth of a shorter run) do not count: until
then nothing has expired. In the end the medians of the first and the last quarter must
not differ by more than the bound of each row (tests/chaos/usage.py), every job must
have ended as it should, no part may have died, and once the retention is over nothing
may be left. FOLDER keeps the samples, the table and the service's logs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import redis

from tests.chaos import usage
from tests.chaos.load import Accepted, Client, Clips
from tests.conftest import ROOT
from tests.e2e import allinone
from tests.ports import free_port
from tests.worker.receiver import receiving

RETENTION_MINUTES = 6.0
PAUSE_SECONDS = 6.0
SAMPLE_SECONDS = 60.0
WARM_UP_MINUTES = 10.0
JOB_SECONDS = 900.0
# Past the retention: the janitor's pace, and the time that a copy of a source is kept.
DRAIN_SECONDS = RETENTION_MINUTES * 60 + 240
DELETED_BY_HAND = 3
# What a store without jobs keeps: counters, workers, turns, and what expires by itself.
_STAYS = ("stats", "minute:", "reaper", "workers", "call:", "turns:")


def settings(hook_port: int) -> dict[str, str]:
    """Return the variables of a service whose things come and go in minutes."""
    hours = str(RETENTION_MINUTES / 60)
    return {
        "FRAMEMILL_RETENTION_JOB_HOURS": hours,
        "FRAMEMILL_RETENTION_SOURCE_HOURS": hours,
        "FRAMEMILL_RETENTION_UPLOAD_HOURS": hours,
        "FRAMEMILL_RETENTION_IDEMPOTENCY_HOURS": hours,
        "FRAMEMILL_WEBHOOKS_LOG_HOURS": hours,
        "FRAMEMILL_WORKER_CACHE_SECONDS": "120",
        "FRAMEMILL_ENGINE_HARD_SECONDS": "300",
        "FRAMEMILL_EGRESS_HTTP": "true",
        "FRAMEMILL_EGRESS_PORTS": f"443,{hook_port}",
        "FRAMEMILL_EGRESS_PRIVATE_NETWORKS": "127.0.0.0/8",
    }


@dataclass
class Load:
    """Asks for one thing after the other, and follows each to its end."""

    client: Client
    tally: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _numbers: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        ask = self.client
        self._ways: list[Callable[[], Accepted | None]] = [
            *(ask.upload, ask.object, ask.still, ask.resumable, ask.doomed),
            *(ask.upload, ask.object, ask.still, ask.invalid, self._never_a_job),
        ]

    def one(self) -> None:
        """Do the next thing; what goes wrong is listed, and ends nothing."""
        number = next(self._numbers)
        way = self._ways[number % len(self._ways)]
        try:
            accepted = way()
            if accepted is not None:
                self._follow(accepted, number)
            self.tally["done"] += 1
        except Exception as error:  # noqa: BLE001 - shown in the end, and fails the run
            self.wrong.append(f"{way.__name__}: {error!r}")

    def _follow(self, accepted: Accepted, number: int) -> None:
        if accepted.way == "cancelled":
            self.client.cancel(accepted.id)
        job = self.client.await_end(accepted.id, JOB_SECONDS)
        self.tally[f"{accepted.way}: {job['status']}"] += 1
        assert job["status"] in accepted.ends, job
        self.client.fetch(job)
        if accepted.way == "object":
            source = job["source"]
            self.client.storage.delete_object(
                Bucket=source["bucket"], Key=source["key"]
            )
        if number % DELETED_BY_HAND == 0:
            self.client.delete(accepted.id)

    def _never_a_job(self) -> None:
        self.client.refused()
        self.client.abandoned()


def sample(service: allinone.AllInOne) -> usage.Sample:
    """Measure every part of the service now."""
    parts = state_of(service)["children"] | {"supervisor": service.process.pid}
    found = usage.of_processes(parts, apart=set(parts.values()))
    for name in ("broker", "store"):
        url = service.state["settings"][f"FRAMEMILL_{name.upper()}_URL"]
        found |= usage.of_server(name, url)
        _, size = usage.of_folder(service.data / name)
        found["append-only file, MiB", name] = size
    files, size = usage.of_folder(service.data / "scratch")
    found |= {("scratch, files", ""): files, ("scratch, MiB", ""): size}
    files, size = usage.of_folder(service.data / "s3")
    found |= {("objects", ""): files, ("objects, MiB", ""): size}
    found["logs, MiB", ""] = usage.of_folder(service.data / "logs")[1]
    return found


def state_of(service: allinone.AllInOne) -> dict[str, Any]:
    """Return what the supervisor says now: a part that was restarted has another id."""
    state: dict[str, Any] = json.loads((service.data / "state.json").read_text())
    return state


def run_load(
    service: allinone.AllInOne, load: Load, minutes: float, keep: Path
) -> list[usage.Sample]:
    """Ask at a steady pace for so long; return the samples after the warm-up."""
    samples = []
    began = time.monotonic()
    ends = began + minutes * 60
    warm = began + 60 * min(WARM_UP_MINUTES, minutes / 6)
    pause = min(SAMPLE_SECONDS, minutes * 60 / 40)
    due = {"ask": began, "sample": began + pause}
    with ThreadPoolExecutor(8) as pool, keep.open("w") as file:
        while (now := time.monotonic()) < ends:
            if now >= due["ask"]:
                pool.submit(load.one)
                due["ask"] += PAUSE_SECONDS
            if now >= due["sample"]:
                due["sample"] += pause
                found = sample(service)
                line = {f"{what} | {part}": n for (what, part), n in found.items()}
                at = round((now - began) / 60, 2)
                print(json.dumps({"minute": at} | line), file=file, flush=True)
                print(f"{at:6.1f} min  {dict(load.tally)}", flush=True)
                if now >= warm:
                    samples.append(found)
            time.sleep(max(0.0, min(due.values()) - time.monotonic()))
    return samples


def drain(service: allinone.AllInOne) -> list[str]:
    """Wait until the retention of everything is over; return what is left then."""
    store = redis.Redis.from_url(
        service.state["settings"]["FRAMEMILL_STORE_URL"], decode_responses=True
    )
    deadline = time.monotonic() + DRAIN_SECONDS
    while True:
        keys = [key.removeprefix("fm:") for key in store.scan_iter()]
        left = [f"key {key}" for key in keys if not key.startswith(_STAYS)]
        objects = (service.data / "s3" / "framemill").rglob("*")
        left += [
            f"object {one.name}"
            for one in objects
            if one.is_file() and one.name != "sample.mp4"
        ]
        attempts = service.data / "scratch" / "attempts"
        left += [f"folder {one}" for one in attempts.glob("*")]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(2)


def soak(folder: Path, minutes: float, *, drained: bool = True) -> bool:
    """Run it, print and keep the table; return whether all is as it should be.

    Unless ``drained``, do not wait for the retention of the last jobs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = ("--port", str(free_port()))
    with (
        receiving() as hook,
        allinone.running(folder / "data", *words, **settings(hook.port)) as service,
    ):
        parts = state_of(service)["children"]
        client = Client(
            service.url,
            Clips(folder),
            service.storage(),
            webhook=f"http://127.0.0.1:{hook.port}/",
        )
        load = Load(client)
        samples = run_load(service, load, minutes, folder / "samples.jsonl")
        hooks = len(hook.requests)
        now = state_of(service)["children"]
        load.wrong += [f"{name} died" for name in parts if now[name] != parts[name]]
        left = drain(service) if drained else []
    found = usage.rows(samples)
    grown = [row for row in found if not row.passes]
    lines = [
        usage.table(found),
        f"\n{minutes:g} minutes, {len(samples)} samples; {hooks} webhooks",
        *(f"{number:6d}  {name}" for name, number in sorted(load.tally.items())),
        f"polls that were answered by 503, and repeated: {client.refused_polls}",
        f"went wrong: {len(load.wrong)}",
        *load.wrong[:20],
        f"left after the retention: {len(left)}",
        *left[:20],
    ]
    passes = not (grown or load.wrong or left) and load.tally["done"] > 0
    lines.append("PASS" if passes else "FAIL")
    text = "\n".join(lines) + "\n"
    (folder / "table.md").write_text(text)
    print(text, flush=True)
    return passes


def main(argv: list[str]) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="./dev soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=120.0, metavar="N")
    text = "a new folder for samples, table and logs; default: .data/soak-PROCESS"
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help=text)
    given = parser.parse_args(argv)
    if given.minutes <= 0:
        parser.error(f"--minutes is {given.minutes:g}: it must be over 0")
    folder = given.folder or ROOT / ".data" / f"soak-{os.getpid()}"
    return 0 if soak(folder.resolve(), given.minutes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
