"""How long the service takes to recover from each kind of fault.

``./dev chaos --recovery`` does each kind once, with the lease (30 s) and the sweep
(5 s) of production, and the next only when the service has recovered. It measures the
time from the begin of the fault until it was over, until a job that was posted then is
accepted, until the jobs that were at work have ended, and until that new job has.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import requests

from tests.chaos.faults import KINDS, PRODUCTION, Host, NotNow
from tests.chaos.load import ENDED, Client, Clips
from tests.chaos.service import until

_AT_WORK = 4
_MOST_SECONDS = 300.0


@dataclass(frozen=True)
class Recovery:
    """Seconds since a fault began: until it was over, and until each of these."""

    kind: str
    fault: float
    accepted: float
    at_work: float
    new: float


def measure(host: Host, client: Client, kind: str) -> Recovery:
    """Do one kind of fault while jobs are at work; raises NotNow, AssertionError."""
    jobs = [client.work().id for _ in range(_AT_WORK)]
    until(lambda: host.client("store").zcard("fm:leased"), 60, "a task is at work")
    over: list[float] = []
    failed: list[BaseException] = []
    began = time.monotonic()

    def strike() -> None:
        try:
            KINDS[kind](host)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)
        over.append(time.monotonic() - began)

    striking = threading.Thread(target=strike)
    striking.start()
    time.sleep(0.3)
    new = until(lambda: _posted(client), _MOST_SECONDS, "a job is accepted")
    accepted = time.monotonic() - began
    ends: dict[str, float] = {}

    def ended() -> bool:
        for one in {*jobs, new} - set(ends):
            with suppress(redis.RedisError):  # the store is what is broken
                status = host.client("store").hget(f"fm:job:{one}", "status")
                if status in ENDED:
                    assert status == "completed", (kind, one, status)
                    ends[one] = time.monotonic() - began
        return len(ends) == len(jobs) + 1

    until(ended, _MOST_SECONDS, f"all jobs have ended after {kind}")
    striking.join(_MOST_SECONDS)
    if failed:
        raise failed[0]
    until(host.whole, _MOST_SECONDS, f"the service is whole after {kind}")
    at_work = max(ends[one] for one in jobs)
    return Recovery(kind, over[0], accepted, at_work, ends[new])


def _posted(client: Client) -> str | None:
    with suppress(requests.RequestException):  # 503, or no answer: tried again
        return client.still().id
    return None


def table(found: list[Recovery]) -> str:
    """Return the times as a table in Markdown, in seconds."""
    head = "| kind of fault | lasted | a new job accepted | jobs at work ended "
    lines = [head + "| the new job ended |", "|---|--:|--:|--:|--:|"]
    for one in found:
        times = (one.fault, one.accepted, one.at_work, one.new)
        cells = " | ".join(f"{time:.1f}" for time in times)
        lines.append(f"| {one.kind} | {cells} |")
    return "\n".join(lines)


def recovery(folder: Path, kinds: list[str]) -> tuple[str, bool]:
    """Measure the kinds; return the table, and whether all recovered."""
    clips = Clips(folder)
    found, missing = [], []
    settings: dict[str, Any] = PRODUCTION
    with Host(folder, seconds=10.0, **settings) as host:
        client = Client(host.url, clips, host.storage, seconds=10)
        for kind in kinds:
            try:
                one = measure(host, client, kind)
            except (NotNow, AssertionError) as error:
                missing.append(f"{kind}: {error}")
                print(f"{kind}: {error}", flush=True)
                continue
            found.append(one)
            print(table([one]).splitlines()[-1], flush=True)
    return "\n".join([table(found), "", *missing]), not missing
