"""What processes count, and how it comes to Prometheus."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import fakeredis
import pytest

from common.jobs.metrics import TOOK_SECONDS, StoreCollector
from common.jobs.store import JobStore
from common.settings.load import Settings, SettingsError
from common.settings.sections import Metrics
from common.telemetry import metrics
from tests.common.jobs.store.context import StoreContext
from tests.conftest import ROOT
from tests.ports import free_port

# A worker's main process, its forked processes, and what it exposes.
FORKS = """
import os, signal, sys, time
from common.telemetry import metrics

def child(work):
    if pid := os.fork():
        return os.waitpid(pid, 0)
    work()
    os._exit(0)

def die():
    metrics.RETRIES.add(kind="render", code="timeout")
    os.kill(os.getpid(), signal.SIGKILL)

def count():
    metrics.FFMPEG_SECONDS.add(2.5, kind="preview")
    metrics.ATTEMPT_SECONDS.observe(0.3, kind="render")

metrics.gather()
registry = metrics.registry("worker")
metrics.RETRIES.add(kind="render", code="timeout")
for _ in range(3):
    child(count)
child(die)
child(lambda: child(die))
wanted = 'framemill_task_retries_total{code="timeout",kind="render"} 3.0'
deadline = time.monotonic() + 60
while wanted not in (text := metrics.expose(registry).decode()):
    assert time.monotonic() < deadline, text
    time.sleep(0.01)
print(text)
"""

FLOOD = """
import os
from common.telemetry import metrics

# The reader stands still, as in a process that was stopped.
metrics._Gathering._read = lambda self: None
metrics.gather()
if pid := os.fork():
    os.waitpid(pid, 0)
    gathering = metrics._gathering
    os.set_blocking(gathering._reader, False)
    print(len(os.read(gathering._reader, 1 << 21).splitlines()))
    if pid := os.fork():
        os.waitpid(pid, 0)
        print(os.read(gathering._reader, 1 << 21).splitlines()[0].decode())
    else:
        gathering._dropped = 7
        metrics.SWEEPS.add(result="ok")
        os._exit(0)
else:
    for _ in range(100_000):
        metrics.SWEEPS.add(result="ok")
    assert metrics._gathering._dropped > 1000
    os._exit(0)
"""


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_forked_processes_lose_nothing_that_they_counted() -> None:
    text = run(FORKS)

    assert 'framemill_ffmpeg_seconds_total{kind="preview"} 7.5' in text
    assert 'framemill_task_seconds_count{kind="render"} 3.0' in text
    assert 'framemill_task_seconds_bucket{kind="render",le="0.25"} 0.0' in text
    assert "framemill_counts_dropped_total 0.0" in text
    # No series tells which process it was: new ones would come with each.
    assert not re.search(r"\bpid=", text)


def test_a_process_never_waits_for_the_one_that_forked_it() -> None:
    kept, first = run(FLOOD).splitlines()

    assert 1000 < int(kept) < 100_000
    assert first.endswith('["ok"], 1]')


def test_what_was_dropped_is_told_with_the_next_count() -> None:
    dropped = metrics.Counted.counted.index(metrics.COUNTS_DROPPED)
    script = FLOOD.replace(".splitlines()[0]", ".splitlines()[1]")

    assert run(script).splitlines()[1] == f"[{dropped}, [], 7]"


def test_a_port_is_served_and_not_kept_by_forked_processes() -> None:
    port = free_port()
    metrics.serve(Metrics(port=port), "reaper")

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    before = sockets()
    if (pid := os.fork()) == 0:
        os._exit(len(before - sockets()) != 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert 'framemill_sweeps_total{result="ok"}' in text
    assert "process_resident_memory_bytes" in text
    assert "framemill_ffmpeg" not in text


def sockets() -> set[str]:
    """Return the sockets that this process has open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that lists the folder
            found.add(str(entry.readlink()))
    return {one for one in found if one.startswith("socket:")}


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    port = free_port()
    metrics.serve(Metrics(port=port), "reaper")

    with pytest.raises(SettingsError, match=rf"METRICS_PORT: 127.0.0.1:{port} .*own$"):
        metrics.serve(Metrics(port=port), "reaper")


def test_without_a_port_nothing_listens() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    metrics.serve(Metrics(), "worker")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture
def store_context(make_store_context: Callable[..., StoreContext]) -> StoreContext:
    return make_store_context()


def test_the_store_tells_what_happened_and_what_did_not_yet(
    store_context: StoreContext,
) -> None:
    store_context.done()
    job_id = store_context.opened()
    store_context.ruin(f"{job_id}:o:poster")
    store_context.accept()
    store_context.store.worker_alive("a:1", {"sandbox": {"active": ["seccomp"]}})

    registry = metrics.registry("reaper", StoreCollector(store_context.store))
    text = metrics.expose(registry).decode()

    assert "framemill_jobs_accepted_total 3.0" in text
    assert 'framemill_jobs_ended_total{status="completed"} 1.0' in text
    assert 'framemill_jobs_ended_total{status="cancelled"} 0.0' in text
    assert 'framemill_failures_total{code="decode_error"} 1.0' in text
    assert 'framemill_leases_lost_total{reason="silent"} 0.0' in text
    assert 'framemill_tasks_pending{queue="fast"} 1.0' in text
    assert 'framemill_sandbox_workers{active="yes",layer="seccomp"} 1.0' in text
    assert 'framemill_output_seconds_bucket{kind="thumbnail",le="60.0"} 1.0' in text
    assert 'framemill_output_seconds_count{kind="thumbnail"} 1.0' in text
    assert 'framemill_output_seconds_count{kind="preview"} 0.0' in text


def test_a_store_that_is_away_is_told_and_nothing_made_up() -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    store = JobStore(Settings(), fakeredis.FakeRedis(server=server))

    text = metrics.expose(metrics.registry("reaper", StoreCollector(store))).decode()

    assert "framemill_store_up 0.0" in text
    assert "framemill_jobs" not in text


def test_the_store_counts_seconds_by_the_bounds_that_are_exposed() -> None:
    script = ROOT / "common" / "jobs" / "lua" / "lib" / "job_status.lua"
    (listed,) = re.findall(r"TOOK_SECONDS = \{([\d, ]+)\}", script.read_text())

    assert tuple(map(int, listed.split(","))) == TOOK_SECONDS


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("part", metrics.ALL)
def test_names_and_units_are_as_prometheus_has_them(
    part: metrics.Part, store_context: StoreContext
) -> None:
    store_context.done()
    store_context.store.worker_alive("a:1", {"sandbox": {"active": ["seccomp"]}})
    store_context.reaper_was_here()
    collector = [] if part == "worker" else [StoreCollector(store_context.store)]

    done = subprocess.run(
        [shutil.which("promtool"), "check", "metrics"],
        input=metrics.expose(metrics.registry(part, *collector)),
        check=False,
        capture_output=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == b""


def test_no_metric_is_exposed_that_the_table_lacks(store_context: StoreContext) -> None:
    names = {one.name for one in metrics.Metric.declared}
    store_context.done()
    for part in metrics.ALL:
        registry = metrics.registry(part, StoreCollector(store_context.store))
        exposed = {family.name for family in registry.collect()}
        ours = {name for name in exposed if not name.startswith("process_")}
        assert ours <= names
