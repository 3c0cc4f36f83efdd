"""Break every part of the service under load, and count what became of the jobs.

``./dev chaos --minutes 30`` runs the whole service with real FFmpeg: two workers of two
processes, the API, the reaper, two Valkeys, an S3 server behind a proxy. Clients post
jobs all the time. Each job has a source of its own, and none is posted twice: where an
answer is missing or is a 503, the client goes on with another job. Of twenty jobs,
eighteen have valid sources, one is cancelled and one is no video. Meanwhile one fault
after the other is injected, each kind as often as the others, in an order that --seed
draws. It goes on until the minutes are over and 50 jobs and 5 faults for each minute
have been counted. Leases are short (4 s), so that a job may meet many faults.

Then nothing is broken any more, and the table says what is lost, doubled or left.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
import requests

from tests.chaos.faults import KINDS, Host, NotNow
from tests.chaos.ledger import Findings, Ledger, settle
from tests.chaos.load import Accepted, Client, Clips
from tests.chaos.service import until

JOBS_A_MINUTE = 50
FAULTS_A_MINUTE = 5
_CLIENTS = 6
# More would only wait; fewer would leave workers idle between faults.
_IN_FLIGHT = 40
_FAULT_PAUSE = 1.0
_WORK_SECONDS = 10.0
_END_SECONDS = 600.0


class Clients:
    """Post jobs of every way until they are told to stop."""

    def __init__(
        self,
        host: Host,
        client: Client,
        ledger: Ledger,
        seed: int,
        in_flight: int = _IN_FLIGHT,
    ) -> None:
        self._in_flight = in_flight
        self._host = host
        self._client = client
        self.ledger = ledger
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._unfinished = 0

    def run(self) -> None:
        """Post one job after the other, as fast as they end."""
        ask = self._client
        ways = [*[ask.still] * 12, *[ask.upload] * 3, *[ask.object] * 2, ask.resumable]
        ways += [ask.doomed, ask.invalid]
        while not self._stop.is_set():
            if self._unfinished >= self._in_flight:
                self._stop.wait(0.2)
                continue
            deck = ways.copy()
            self._random.shuffle(deck)
            for way in deck:
                self.one(way)
                if self._stop.wait(0.1) or self._unfinished >= self._in_flight:
                    break

    def one(self, way: Callable[[], Accepted]) -> Accepted | None:
        """Post one job; an answer that it should not get is listed as wrong."""
        accepted = None
        try:
            accepted = way()
            self.ledger.add(accepted)
            if accepted.way == "cancelled":
                self._client.cancel(accepted.id)
        except requests.HTTPError as error:
            status = error.response.status_code
            self.ledger.note(f"{status}")
            if status not in {423, 503}:
                self.ledger.wrong.append(f"{error}: {error.response.text[:300]}")
            self._stop.wait(1)
        except requests.RequestException as error:
            # The API was killed under this request, or under its answer.
            self.ledger.note(type(error).__name__)
            self._stop.wait(0.5)
        return accepted

    def watch(self) -> None:
        """Keep count of what has not ended, while clients post."""
        while not self._stop.wait(1):
            with suppress(redis.RedisError):  # the store is broken just now
                self._unfinished = len(self.ledger.unfinished(self._host))

    def stop(self) -> None:
        self._stop.set()


@dataclass
class Faults:
    """Injects one fault after the other, each kind as often as the others."""

    host: Host
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    _deck: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def one(self) -> None:
        """Do the next kind, once a task is at work; what is away cannot be broken."""
        if not self._deck:
            self._deck = list(KINDS)
            self._random.shuffle(self._deck)
        name = self._deck.pop()
        self._await_work()
        try:
            KINDS[name](self.host)
        except (NotNow, ProcessLookupError, redis.ConnectionError):
            self.skipped[name] += 1
        else:
            self.done[name] += 1

    def _await_work(self) -> None:
        client = self.host.client("store")
        with suppress(AssertionError, redis.RedisError):
            until(lambda: client.zcard("fm:leased"), _WORK_SECONDS, "a task at work")


def run(host: Host, minutes: float, seed: int, clips: Clips) -> tuple[Clients, Faults]:
    """Post and break until time, jobs and faults are enough; then let all end."""
    client = Client(host.url, clips, host.storage, seconds=30)
    clients = Clients(host, client, Ledger(), seed)
    faults = Faults(host, seed)
    began = time.monotonic()
    most = began + 3 * minutes * 60

    def enough() -> bool:
        return (
            time.monotonic() - began >= minutes * 60
            and len(clients.ledger.accepted) >= JOBS_A_MINUTE * minutes
            and faults.done.total() >= FAULTS_A_MINUTE * minutes
        ) or time.monotonic() > most

    with ThreadPoolExecutor(_CLIENTS + 1) as pool:
        running = [pool.submit(clients.run) for _ in range(_CLIENTS)]
        running.append(pool.submit(clients.watch))
        try:
            told = began
            while not enough():
                faults.one()
                if time.monotonic() - told > 60:
                    told = time.monotonic()
                    said = f"{len(clients.ledger.accepted)} accepted, "
                    said += f"{faults.done.total()} faults, {clients.ledger.answers}"
                    print(f"{(told - began) / 60:5.1f} min  {said}", flush=True)
                time.sleep(_FAULT_PAUSE)
        finally:
            clients.stop()
        for one in running:
            one.result()
    with suppress(AssertionError):  # the table shows what has not ended
        until(lambda: not clients.ledger.unfinished(host), _END_SECONDS, "all ended")
        until(host.whole, 120, "the service is whole")
    return clients, faults


def table(
    clients: Clients, faults: Faults, found: Findings, seconds: float
) -> tuple[str, bool]:
    """Return the table, and whether all held."""
    ledger = clients.ledger
    accepted = len(ledger.accepted)
    rows = {
        "accepted": accepted,
        "finished": found.finished,
        "lost": len(found.lost),
        "valid, but failed": len(found.failed),
        "double commits": len(found.doubled),
        "files that are missing or wrong": len(found.broken),
        "orphans (processes, folders, objects)": len(found.orphans),
        "leaks (tasks, connections)": len(found.leaks),
        "answers that should not be": len(ledger.wrong),
        "faults": faults.done.total(),
        "kinds of faults": len(faults.done),
    }
    lines = ["| | |", "|---|--:|", *(f"| {name} | {n} |" for name, n in rows.items())]
    mix = ", ".join(f"{name} {n}" for name, n in sorted(found.mix.items()))
    kinds = ", ".join(f"{name} {n}" for name, n in sorted(faults.done.items()))
    without = ", ".join(f"{name} {n}" for name, n in sorted(ledger.answers.items()))
    lines += ["", f"{seconds / 60:.1f} minutes, load of the host at the end "]
    lines[-1] += f"{os.getloadavg()[2]:.1f} on {os.cpu_count()} cores."
    lines += [f"Mix: {mix}.", f"Faults: {kinds}."]
    lines += [f"Requests without a 202: {without or 'none'}; "]
    lines[-1] += f"jobs of such requests that were made all the same: {found.untold}."
    if faults.skipped:
        skipped = ", ".join(f"{name} {n}" for name, n in faults.skipped.items())
        lines.append(f"Nothing to break: {skipped}.")
    for what, those in (found.bad | {"wrong": ledger.wrong}).items():
        lines += [f"{what}: {one}" for one in those[:20]]
    holds = not (found.bad or ledger.wrong) and found.finished == accepted > 0
    lines.append("PASS" if holds else "FAIL")
    return "\n".join(lines), holds


def long_form(folder: Path, minutes: float, seed: int) -> tuple[str, bool]:
    """Run the long form in a folder; return the table, and whether all held."""
    clips = Clips(folder)
    began = time.monotonic()
    with Host(folder) as host:
        clients, faults = run(host, minutes, seed, clips)
        found = settle(host, clients.ledger, patient=True)
    return table(clients, faults, found, time.monotonic() - began)
