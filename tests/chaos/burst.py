"""Ten thousand jobs at once: what their acceptance takes, and that each has its place.

``./dev chaos --burst 10000`` posts that many jobs by eight connections, as fast as they
are answered, while no worker takes any. Each job names an object of its own. Then every
job must have a record, a place in the queue and a message. One in twenty, drawn at
random, is then run to its end; the others are cancelled, by as many requests. In the
end all of them must have ended, the drawn ones completed.
"""

from __future__ import annotations

import base64
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import requests

from tests.bench import load
from tests.chaos.load import ENDED, STILL, Clips
from tests.chaos.service import Service, until

CONNECTIONS = 8
DRAWN = 20
P99_MS = 50.0
_LONGEST_SECONDS = 3600.0


@dataclass
class Burst:
    """What was counted; times are in milliseconds, memory in bytes a job."""

    jobs: int
    answers: dict[int, int]
    rate: float
    p50: float
    p99: float
    worst: float
    busy: float
    records: int = 0
    queued: int = 0
    messages: int = 0
    memory: float = 0.0
    drawn: int = 0
    ended: Counter[str] | None = None
    drawn_ended: Counter[str] | None = None

    @property
    def holds(self) -> bool:
        """Return whether nothing is missing; the times are another matter."""
        return (
            self.answers == {202: self.jobs}
            and self.records == self.queued == self.messages == self.jobs
            and self.drawn_ended == {"completed": self.drawn}
            and self.ended == {"cancelled": self.jobs - self.drawn}
        )


def put_sources(folder: Path, jobs: int) -> None:
    """Write that many clips, no two alike, into the folder that is the storage."""
    clips = Clips(folder)
    place = folder / "blobs" / "films"
    place.mkdir(parents=True)
    for number in range(jobs):
        (place / f"{number}.mp4").write_bytes(clips.fresh())


def post_all(service: Service, jobs: int) -> Burst:
    """Post the jobs, and measure the answers."""
    numbers = count()

    def request() -> bytes:
        source = {"s3": {"bucket": "framemill", "key": f"films/{next(numbers)}.mp4"}}
        body = json.dumps({"source": source, "outputs": [STILL]}).encode()
        head = "POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    found = load.run(
        service.ports["api"],
        request,
        seconds=_LONGEST_SECONDS,
        connections=CONNECTIONS,
        most=jobs,
    )
    return Burst(
        jobs,
        found.statuses,
        found.rate,
        found.percentile(0.5),
        found.percentile(0.99),
        found.percentile(1),
        os.getloadavg()[0],
    )


def messages(service: Service) -> set[str]:
    """Return the tasks that the messages in the queues name."""
    found = set()
    for queue in ("fast", "slow"):
        for message in service.broker.lrange(queue, 0, -1):
            arguments, *_ = json.loads(base64.b64decode(json.loads(message)["body"]))
            found.add(arguments[0])
    return found


def look(service: Service, burst: Burst) -> list[str]:
    """Count records, places and messages; return the ids of the jobs."""
    store = service.store
    ids = [line[13:] for line in store.zrange("fm:jobs:any", 0, -1)]
    tasks = {f"{one}:prepare" for one in ids}
    pipeline = store.pipeline(transaction=False)
    for one in ids:
        pipeline.hget(f"fm:job:{one}", "status")
    burst.records = sum(status == "accepted" for status in pipeline.execute())
    burst.queued = len(tasks & set(store.zrange("fm:queued:fast", 0, -1)))
    until(lambda: tasks <= messages(service), 60, "every job has a message")
    burst.messages = len(tasks & messages(service))
    facts: Any = store.info("memory")
    burst.memory = (facts["used_memory"] - facts["used_memory_startup"]) / len(ids)
    return ids


def end_all(service: Service, burst: Burst, ids: list[str], seed: int) -> None:
    """Cancel all but those drawn, start the worker, and wait for every end."""
    drawn = set(random.Random(seed).sample(sorted(ids), burst.jobs // DRAWN))
    burst.drawn = len(drawn)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(lambda one: _cancel(service, one), set(ids) - drawn))
    service.start("worker")

    def statuses() -> dict[str, str]:
        pipeline = service.store.pipeline(transaction=False)
        for one in ids:
            pipeline.hget(f"fm:job:{one}", "status")
        return dict(zip(ids, pipeline.execute(), strict=True))

    def ended() -> bool:
        time.sleep(1)
        return set(statuses().values()) <= ENDED

    until(ended, _LONGEST_SECONDS, "all jobs have ended")
    found = statuses()
    burst.drawn_ended = Counter(found[one] for one in drawn)
    burst.ended = Counter(found[one] for one in set(ids) - drawn)


def _cancel(service: Service, job_id: str) -> None:
    url = f"{service.url}/v1/jobs/{job_id}/cancel"
    requests.post(url, timeout=60).raise_for_status()


@contextmanager
def without_worker(folder: Path) -> Iterator[Service]:
    """Run API, reaper and both Valkeys."""
    production = {"FRAMEMILL_LEASE_SECONDS": "30", "FRAMEMILL_LEASE_BEAT_SECONDS": "5"}
    service = Service(folder, **production)
    try:
        for name in ("broker", "store"):
            service.start_redis(name)
        for name in ("api", "sweep"):
            service.start(name)
        service.await_ready()
        yield service
    finally:
        service.__exit__()


def burst(folder: Path, jobs: int, seed: int) -> Burst:
    """Run it in a folder."""
    put_sources(folder, jobs)
    with without_worker(folder) as service:
        found = post_all(service, jobs)
        end_all(service, found, look(service, found), seed)
    return found


def table(found: Burst) -> str:
    """Return what was counted, as a table in Markdown."""
    rows = {
        "jobs": found.jobs,
        "answers": ", ".join(f"{n} times {code}" for code, n in found.answers.items()),
        "jobs a second": f"{found.rate:.0f}",
        "acceptance: median, 99 %, longest": (
            f"{found.p50:.1f} ms, {found.p99:.1f} ms, {found.worst:.1f} ms"
        ),
        "load of the host meanwhile": f"{found.busy:.1f} on {os.cpu_count()} cores",
        "with a record": found.records,
        "with a place in the queue": found.queued,
        "with a message": found.messages,
        "memory of the store a job": f"{found.memory:.0f} bytes",
        "drawn and run": f"{found.drawn}: {dict(found.drawn_ended or {})}",
        "the others": str(dict(found.ended or {})),
    }
    lines = ["| | |", "|---|---|", *(f"| {name} | {n} |" for name, n in rows.items())]
    return "\n".join([*lines, "", "PASS" if found.holds else "FAIL"])
