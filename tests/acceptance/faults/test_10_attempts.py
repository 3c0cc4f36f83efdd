"""The attempts of an output say what happened, not what may happen at most."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.faults.films import grey_stretches
from tests.acceptance.faults.processes import await_progress, pool_children

SNIPPETS = {"kind": "snippets", "window": 600, "width": 32, "fps": 0.1}


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Let processes stand still until the block ends."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return grey_stretches(tmp_path_factory.mktemp("film") / "long.mp4", 5, 600)


def test_one_loss_is_told_as_one(start_service, film):
    """A worker stands still, once, for longer than its lease."""
    with start_service(
        FRAMEMILL_WORKER_CONCURRENCY="1",
        FRAMEMILL_LEASE_SECONDS="3",
        FRAMEMILL_LEASE_BEAT_SECONDS="1",
        FRAMEMILL_LEASE_SWEEP_SECONDS="1",
    ) as service:
        job = await_progress(service, service.post(film, [SNIPPETS]), 1)
        with stopped(
            [service.state["children"]["worker"], *pool_children(service.data)]
        ):
            time.sleep(6)  # the lease, and a pass of the reaper
        job = service.wait(job)

    assert job["status"] == "completed", job["error"]
    (output,) = job["outputs"]
    told = [one["error"]["detail"] for one in output["attempts"] if one["error"]]
    assert len(told) == 1
    assert told[0].startswith("the worker vanished while it had this work, 1 of")
