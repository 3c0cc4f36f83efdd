"""One fault at a time, and what exactly the service makes of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.faults import WORKERS, Host, messages_repeated, terminate
from tests.chaos.ledger import Ledger, settle
from tests.chaos.load import ENDED, Accepted, Client, Clips
from tests.chaos.service import until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
OUTPUT = "animation"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(tmp_path_factory.mktemp("parts")) as host:
        yield host


@pytest.fixture
def client(host: Host, tmp_path: Path) -> Client:
    until(host.whole, 120, "the service is whole")
    return Client(host.url, Clips(tmp_path), host.storage)


def task_of(host: Host, job: Accepted) -> dict[str, str]:
    """Return the record of the task that makes the animation."""
    return host.client("store").hgetall(f"fm:piece:{job.id}:o:{OUTPUT}")


def at_work(host: Host, job: Accepted) -> tuple[str, int]:
    """Wait for the job's FFmpeg; return the part whose worker runs it, and its id."""
    (pid,) = until(lambda: host.orphans()[:1], 120, "FFmpeg is at work")
    # It stands still, so that it is at work for as long as the test needs.
    os.kill(pid, signal.SIGSTOP)
    pool = int(task_of(host, job)["worker"].rsplit(":", 1)[1])
    (name,) = (one for one in WORKERS if pool in host.pool_children(one))
    return name, pid


def claims(host: Host, job: Accepted) -> int:
    """Return how often any task of a job was claimed."""
    return int(host.client("store").hget(f"fm:job:{job.id}", "fence"))


def check_end(host: Host, *jobs: Accepted) -> None:
    """Check that the jobs complete, once, and leave nothing."""
    store = host.client("store")

    def ended() -> bool:
        return all(store.hget(f"fm:job:{job.id}", "status") in ENDED for job in jobs)

    until(ended, 120, "the jobs have ended")
    until(host.whole, 120, "the service is whole")
    found = settle(host, Ledger({job.id: job for job in jobs}))
    assert found.bad == {}
    assert found.finished == len(jobs)


def test_a_killed_ffmpeg_is_followed_by_the_next_alternative(host, client):
    job = client.work()
    _, pid = at_work(host, job)
    os.kill(pid, signal.SIGKILL)

    check_end(host, job)
    assert claims(host, job) == 2
    (output,) = host.get(f"/v1/jobs/{job.id}")["outputs"]
    first, second = output["attempts"]
    assert "status -9" in first["error"]["detail"]
    assert second["error"] is None


def test_a_killed_pool_process_ends_its_ffmpeg_and_counts_as_one_death(host, client):
    job = client.work()
    _, pid = at_work(host, job)
    os.kill(int(task_of(host, job)["worker"].rsplit(":", 1)[1]), signal.SIGKILL)

    until(lambda: not Path(f"/proc/{pid}").exists(), 60, "its FFmpeg has ended")
    check_end(host, job)
    task = task_of(host, job)
    assert (task["attempt"], task["deaths"]) == ("1", "1")
    assert claims(host, job) == 3


def test_nothing_of_a_worker_outlives_its_main_process(host, client):
    job = client.work()
    name, pid = at_work(host, job)
    children = host.pool_children(name)
    with host.held(name):
        os.kill(host.children[name].pid, signal.SIGKILL)
        for one in (pid, *children):
            until(lambda one=one: ended(one), 60, f"process {one} has ended")

    check_end(host, job)


def ended(pid: int) -> bool:
    """Return whether a process is gone, or only its parent has not noticed."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_worker_that_is_told_to_go_hands_its_long_task_on_at_no_cost(host, client):
    job = client.work()
    name, _ = at_work(host, job)
    with host.held(name):
        host.children[name].send_signal(signal.SIGTERM)
        # It waits for its task for FRAMEMILL_WORKER_SHUTDOWN_SECONDS, then gives it up.
        until(lambda: claims(host, job) == 3, 60, "another worker has the task")
        host.children[name].wait(120)

    check_end(host, job)
    task = task_of(host, job)
    assert (task["attempt"], task["refunds"]) == ("1", "1")


def test_a_worker_that_wakes_up_after_its_lease_publishes_nothing(host, client):
    job = client.work()
    name, pid = at_work(host, job)
    with host.stopped(name):
        until(lambda: claims(host, job) == 3, 60, "another worker has the task")
        os.kill(pid, signal.SIGCONT)
        store = host.client("store")
        until(
            lambda: store.hget(f"fm:job:{job.id}", "status") == "completed",
            120,
            "the job has completed",
        )
        made = host.get(f"/v1/jobs/{job.id}")["outputs"][0]["artifacts"]

    log = host.folder / f"{name}.log"
    lost = f'"job": "{job.id}"'
    until(
        lambda: any(
            lost in line and ("task.lost" in line or '"applied": false' in line)
            for line in log.read_text().splitlines()
        ),
        60,
        "the worker has learned that its claim is lost",
    )
    check_end(host, job)
    assert host.get(f"/v1/jobs/{job.id}")["outputs"][0]["artifacts"] == made


def test_ten_messages_of_a_task_are_one_run(host, client):
    with host.stopped("worker"), host.stopped("worker2"):
        jobs = [client.still() for _ in range(3)]
        messages_repeated(host)

    check_end(host, *jobs)
    # One claim of the task that prepares, one of the thumbnail.
    assert [claims(host, job) for job in jobs] == [2, 2, 2]


def test_jobs_are_accepted_while_the_broker_is_away_and_done_after(host, client):
    with host.held("broker"):
        host.kill("broker")
        jobs = [client.still() for _ in range(5)]
        host.start_redis("broker")

    check_end(host, *jobs)


def test_a_restart_of_every_process_amid_load_runs_little_again(host, client):
    jobs = [client.upload() for _ in range(12)]
    for name in ("sweep", "worker", "worker2", "api"):
        terminate(host, name)
        until(lambda name=name: host.children[name].poll() is None, 60, name)
        until(host.whole, 120, "the service is whole")
        jobs.append(client.upload())

    check_end(host, *jobs)
    # Each of the two workers had two tasks at most; a job has three.
    again = sum(claims(host, job) for job in jobs) - 3 * len(jobs)
    assert 0 <= again <= 2 * len(WORKERS)
    attempts = {task_of(host, job)["attempt"] for job in jobs}
    assert attempts == {"1"}
