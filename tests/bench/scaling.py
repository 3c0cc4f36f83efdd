"""Whether a second worker halves the time: one core each, one decoder thread each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.bench import usage
from tests.bench.bench import Bench, Side, cores
from tests.bench.builds import Build
from tests.bench.results import Row, Sample, Target, Unavailable
from tests.conftest import ROOT

_START_SECONDS = 60.0
# Half of the time, within 15 percent.
_HALF = 0.5 * 1.15
_TWO, _ONE = "two workers", "one worker"


def rows(film: str, board: Any, windows: str, snippets: Any) -> list[Row]:
    """Return the rows of a storyboard and of snippets by one and by two workers."""
    return [
        Row(
            f"workers-{name}",
            f"{text}, by two workers of one core",
            [used],
            {_TWO: _side(2, used, outputs), _ONE: _side(1, used, outputs)},
            [
                Target("wall", _ONE, most=_HALF),
                Target("cpu", _ONE),
                Target("cpu of s3", _ONE),
                Target("cpu of store", _ONE),
            ],
            slow=True,
            rounds=2,
        )
        for name, text, used, outputs in (
            ("storyboard", "storyboard of the film", film, board),
            ("snippets", "6 snippets of 30 s", windows, snippets),
        )
    ]


def _side(workers: int, film: str, outputs: Any) -> Side:
    def act(bench: Bench) -> Sample:
        free = cores()
        if len(free) < workers:
            raise Unavailable(f"{workers} cores are needed, {len(free)} are here")
        one = bench.pinned()
        pin(one.service.state["children"]["worker"], free[0])
        with _more_workers(one, free[1:workers]) as more:
            return one.job(film, outputs, also=more)

    return act


def pin(root: int, core: int) -> None:
    """Bind every thread of a process and of all under it to one core."""
    for pid in usage.processes(root):
        with suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {core})


@contextmanager
def _more_workers(one: Build, chosen: list[int]) -> Iterator[list[int]]:
    """Run another worker of the same service on each of these cores; yield pids."""
    assert one.service.data is not None
    started = []
    try:
        for core in chosen:
            log = one.service.data / "logs" / f"worker-{core}.log"
            started.append((core, log, _worker(one, core, log)))
        for core, log, process in started:
            _await(log, process)
            pin(process.pid, core)
        yield [process.pid for _, _, process in started]
    finally:
        for _, _, process in started:
            process.terminate()
            process.wait(_START_SECONDS)


def _worker(one: Build, core: int, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
    command += ["--pool", "prefork", "--concurrency", "1", "--queues", "fast,slow"]
    command += ["--hostname", f"core{core}@%h", "--loglevel", "INFO"]
    command += ["--without-gossip", "--without-mingle"]
    given = {k: v for k, v in os.environ.items() if not k.startswith("FRAMEMILL_")}
    environment = given | one.service.state["settings"]
    with log.open("wb") as out:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | {"REMAP_SIGTERM": "SIGQUIT"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def _await(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while b" ready" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"a worker did not start; see {log}")
        time.sleep(0.1)
