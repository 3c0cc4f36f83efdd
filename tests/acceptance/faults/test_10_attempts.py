"""The attempts of an output say what happened, not what may happen at most."""

from __future__ import annotations

import pytest

from tests.acceptance.faults.films import grey_stretches
from tests.acceptance.faults.processes import await_progress, lose_one_claim

SNIPPETS = {"kind": "snippets", "window": 600, "width": 32, "fps": 1}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return grey_stretches(tmp_path_factory.mktemp("film") / "long.mp4", 5, 600)


def test_one_loss_is_told_as_one(start_service, film):
    """A worker stands still, once, for longer than its lease."""
    with start_service(
        FRAMEMILL_WORKER_CONCURRENCY="1",
        FRAMEMILL_LEASE_SECONDS="5",
        FRAMEMILL_LEASE_BEAT_SECONDS="1",
        FRAMEMILL_LEASE_SWEEP_SECONDS="1",
    ) as service:
        job = await_progress(service, service.post(film, [SNIPPETS]), 1)
        lose_one_claim(service, job)
        job = service.wait(job)

    assert job["status"] == "completed", job["error"]
    (output,) = job["outputs"]
    told = [one["error"]["detail"] for one in output["attempts"] if one["error"]]
    assert len(told) == 1
    assert told[0].startswith("the worker vanished while it had this work, 1 of")
