"""Callers take turns: the many slow jobs of one do not hold up the other's picture."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.chaos.service import Service, until
from tests.conftest import SAMPLE
from tests.e2e.context import ENDED, THUMBNAIL, await_job
from tests.e2e.test_keys import Caller, caller

JOBS = 60
SLOW = [{"kind": "animation", "format": "gif", "duration": 5, "fps": 25, "width": 640}]


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    given = {"FRAMEMILL_API_AUTH": "true"}
    with Service(tmp_path_factory.mktemp("fair"), **given) as running:
        yield running


def submit(who: Caller, outputs: list[dict[str, object]]) -> str:
    with SAMPLE.open("rb") as file:
        answer = who.post(
            "/v1/jobs", 202, files={"file": file}, data={"outputs": json.dumps(outputs)}
        )
    return str(answer.json()["id"])


def test_the_slow_jobs_of_one_caller_do_not_hold_up_the_thumbnail_of_another(
    service: Service,
) -> None:
    anna, bob = (caller(service, name, "submit", "read") for name in ("anna", "bob"))
    many = [submit(anna, SLOW) for _ in range(JOBS)]
    store = service.store

    def ended() -> int:
        return sum(store.hget(f"fm:job:{one}", "status") in ENDED for one in many)

    def slow_ones() -> int:
        return sum(":o:" in str(task) for task in store.zrange("fm:leased", 0, -1))

    until(slow_ones, 120, "a slow task is at work")
    before = ended()
    job = await_job(service, submit(bob, THUMBNAIL), bob.token)
    after = ended()

    assert job["status"] == "completed", job
    assert after - before <= 3, "it stood behind the jobs of the other caller"
    # The worker has two slots, and one of them is never given to a slow task.
    assert max(slow_ones() for _ in range(200)) == 1
