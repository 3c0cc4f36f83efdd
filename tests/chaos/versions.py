"""A deploy and its withdrawal amid load, with old and new processes side by side.

``./dev chaos --versions REVISION`` starts every process of the service from that
commit, and replaces them one after the other by those of this checkout, by the old ones
again, and by those of this checkout: a worker, the reaper, the API, the other worker.
Clients post all the time. After each step twenty more jobs must have ended, some of
them posted before it. In the end nothing may be lost, doubled or left. Both versions
run with the packages of this checkout.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bench.builds import worktree
from tests.chaos.faults import Host, terminate
from tests.chaos.ledger import Findings, Ledger, job_store, settle
from tests.chaos.load import Client, Clips
from tests.chaos.long import Clients
from tests.chaos.service import until
from tests.conftest import ROOT

STEPS = ("worker2", "sweep", "api", "worker")
_MORE_JOBS = 20
_IN_FLIGHT = 12


@dataclass
class Deploy:
    """How it went; ``again`` are claims beyond one for each task."""

    steps: list[str]
    accepted: int
    again: int
    found: Findings
    ledger: Ledger

    @property
    def holds(self) -> bool:
        """Return whether nothing was lost, and nothing answered as it should not."""
        ended = self.found.finished == self.accepted > 0
        return ended and not (self.found.bad or self.ledger.wrong)


def steps(old: Path) -> Iterator[tuple[str, Path]]:
    """Yield which part is replaced next, by that of which checkout."""
    for tree in (ROOT, old, ROOT):
        for name in STEPS:
            yield name, tree


def deploy(folder: Path, revision: str, seed: int) -> Deploy:
    """Replace every process by a newer one, back, and once more."""
    clips, said = Clips(folder), []
    with worktree(revision, folder / "old") as old:
        trees = dict.fromkeys(STEPS, old)
        host = Host(folder, api="api.wsgi:app", trees=trees)
        with host, ThreadPoolExecutor(3) as pool:
            client = Client(host.url, clips, host.storage, seconds=30)
            clients = Clients(host, client, Ledger(), seed, in_flight=_IN_FLIGHT)
            running = [pool.submit(clients.run) for _ in range(2)]
            running.append(pool.submit(clients.watch))
            try:
                _await_more(host, clients.ledger)
                for name, tree in steps(old):
                    host.trees[name] = tree
                    terminate(host, name)
                    until(host.whole, 120, f"the service is whole with that {name}")
                    _await_more(host, clients.ledger)
                    said.append(f"{name} of {'this' if tree == ROOT else revision}")
                    print(said[-1], len(clients.ledger.accepted), flush=True)
            finally:
                clients.stop()
            for one in running:
                one.result()
            ledger = clients.ledger
            until(lambda: not ledger.unfinished(host), 300, "all jobs have ended")
            found = settle(host, ledger)
            again = _claims_again(host, ledger)
    return Deploy(said, len(ledger.accepted), again, found, ledger)


def _await_more(host: Host, ledger: Ledger) -> None:
    """Wait until twenty more jobs have ended than now, and work goes on."""

    def ended() -> int:
        return len(ledger.accepted) - len(ledger.unfinished(host))

    before = ended()
    until(lambda: ended() >= before + _MORE_JOBS, 300, "twenty more jobs have ended")
    time.sleep(1)


def _claims_again(host: Host, ledger: Ledger) -> int:
    """Return how many claims completed jobs needed beyond one for each task."""
    store, client = job_store(host), host.client("store")
    again = 0
    for job_id in ledger.accepted:
        job = store.get(job_id)
        if job is not None and job.status == "completed":
            claims = int(client.hget(f"fm:job:{job_id}", "fence"))
            again += claims - 1 - len(job.outputs)
    return again


def table(found: Deploy) -> str:
    """Return what was counted, as a table in Markdown."""
    rows = {
        "processes replaced": len(found.steps),
        "jobs accepted": found.accepted,
        "finished": found.found.finished,
        "lost": len(found.found.lost),
        "valid, but failed": len(found.found.failed),
        "double commits": len(found.found.doubled),
        "left": len(found.found.orphans) + len(found.found.leaks),
        "claims beyond one for each task": found.again,
        "requests without a 202": sum(found.ledger.answers.values()),
    }
    lines = ["| | |", "|---|--:|", *(f"| {name} | {n} |" for name, n in rows.items())]
    for what, those in (found.found.bad | {"wrong": found.ledger.wrong}).items():
        lines += [f"{what}: {one}" for one in those[:20]]
    return "\n".join([*lines, "", "PASS" if found.holds else "FAIL"])
