"""The job store is lost with its files: every job comes back under its id.

The short form has 20 jobs, ``./dev chaos`` (CHAOS=full) has 200. A fifth each is
completed, partial, failed, cancelled and not ended, one of these in a worker's hands.
Two of the completed are of a batch, which comes back as well.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.service import Service, until
from tests.conftest import SAMPLE
from tests.e2e.context import BUCKET, aws, rclone, s3_settings

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]
JOBS = 200 if os.environ.get("CHAOS") == "full" else 20
EACH = JOBS // 5
STILL = {"kind": "thumbnail", "width": 64, "time": 1}
PAST_THE_END = {"kind": "thumbnail", "name": "late", "time": 99, "policy": "exact"}
LONG = {"kind": "animation", "format": "webp", "start": 0, "duration": 9, "width": 640}
ENDED = {"completed", "partial", "failed", "cancelled"}


def many(call: Callable[[], str], count: int) -> list[str]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: call(), range(count)))


def submit_batch(service: Service) -> str:
    """Make a batch of two jobs that will be completed."""
    sources = [{"s3": {"bucket": BUCKET, "key": f"films/{n}.mp4"}} for n in range(2)]
    request = urllib.request.Request(
        f"{service.url}/v1/batches",
        data=json.dumps({"sources": sources, "outputs": [STILL]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["id"]


def children(service: Service, batch_id: str) -> list[str]:
    page = service.get(f"/v1/jobs?batch={batch_id}")
    return [one["id"] for one in page["jobs"]]


def documents(service: Service, ids: list[str]) -> dict[str, dict[str, Any]]:
    return {one: service.get(f"/v1/jobs/{one}") for one in ids}


def statuses(service: Service, ids: list[str]) -> Counter[str]:
    store = service.store
    return Counter(store.hget(f"fm:job:{one}", "status") for one in ids)


def cancel(service: Service, job_id: str) -> None:
    url = f"{service.url}/v1/jobs/{job_id}/cancel"
    urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60)


def what_must_stay(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a job's document what a loss may change: links are signed anew."""
    outputs = [
        {name: one[name] for name in ("name", "status", "error", "warnings")}
        | {"sha256": [artifact["sha256"] for artifact in one["artifacts"]]}
        for one in document["outputs"]
    ]
    names = ("id", "status", "created_at", "finished_at", "expires_at", "source")
    return {name: document[name] for name in (*names, "error")} | {"outputs": outputs}


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def lose_the_store(service: Service) -> None:
    service.store.flushall()
    service.kill("store")
    shutil.rmtree(service.folder / "store")
    service.start_redis("store")
    assert not service.store.keys("fm:job:*")


def make_ended(service: Service, endpoint: str, garbage: Path) -> tuple[str, list[str]]:
    """Return a batch, and the ids of three fifths of the jobs: those of it are two."""
    for number in range(2):
        aws("s3", endpoint).upload_file(str(SAMPLE), BUCKET, f"films/{number}.mp4")
    batch_id = submit_batch(service)
    ended = many(lambda: service.submit(SAMPLE, [STILL]), EACH - 2)
    ended += many(lambda: service.submit(SAMPLE, [STILL, PAST_THE_END]), EACH)
    ended += many(lambda: service.submit(garbage, [STILL]), EACH)
    until(lambda: len(children(service, batch_id)) == 2, 60, "the batch is made")
    ended += children(service, batch_id)
    states = {"completed": EACH, "partial": EACH, "failed": EACH}
    until(lambda: statuses(service, ended) == states, 400, "three fifths have ended")
    return batch_id, ended


def show_batch(service: Service, batch_id: str) -> dict[str, Any]:
    document = service.get(f"/v1/batches/{batch_id}")
    del document["updated_at"]
    return document


@pytest.mark.parametrize("durability", ["store", "storage"])
def test_every_job_comes_back(tmp_path: Path, durability: str) -> None:
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(b"no video " * 100)
    with (
        rclone(tmp_path / "s3") as endpoint,
        Service(
            tmp_path,
            FRAMEMILL_STORE_DURABILITY=durability,
            **s3_settings(endpoint),
        ) as service,
    ):
        batch_id, ended = make_ended(service, endpoint, garbage)
        service.command("keys", "create", "first")
        keys = service.command("keys", "list")
        running = service.submit(SAMPLE, [LONG])
        until(
            lambda: service.store.hget(f"fm:piece:{running}:o:animation", "begun"),
            60,
            "a worker makes the animation",
        )
        with service.stopped("worker"):
            cancelled = many(lambda: service.submit(SAMPLE, [STILL]), EACH)
            for one in cancelled:
                cancel(service, one)
            ended += cancelled
            unfinished = [
                running,
                *many(lambda: service.submit(SAMPLE, [STILL]), EACH - 1),
            ]
            ids = ended + unfinished
            assert len(set(ids)) == JOBS
            until(
                lambda: not service.store.exists("fm:manifests"),
                60,
                "every manifest is stored",
            )
            before = documents(service, ids)
            assert Counter(one["status"] for one in before.values()) == {
                "completed": EACH,
                "partial": EACH,
                "failed": EACH,
                "cancelled": EACH,
                "accepted": EACH - 1,
                "processing": 1,
            }
            batch = show_batch(service, batch_id)
            assert batch["status"] == "completed"
            lose_the_store(service)
            # The upload of one that has not ended is lost as well.
            orphan = unfinished[-1]
            aws("s3", endpoint).delete_object(Bucket=BUCKET, Key=f"in/{orphan}/source")
            planned = service.command("reconcile", "--dry-run")
            assert f"{JOBS} of {JOBS} jobs are there: {JOBS} would come" in planned
            assert not service.store.keys("fm:job:*")
            said = service.command("reconcile")
            print(said)
            assert f"{JOBS} of {JOBS} jobs are there: {JOBS} came back" in said
            assert f"source_not_found:\n  {orphan}\n" in said
            assert f"queued\t{EACH}\n" in said
            assert "1 of 1 API keys are there: 1 came back" in said
            assert "1 of 1 batches are there: 1 came back" in said
            assert show_batch(service, batch_id) == batch
            assert service.command("keys", "list") == keys
        after = documents(service, ended)
        assert {one: what_must_stay(after[one]) for one in ended} == {
            one: what_must_stay(before[one]) for one in ended
        }
        for one in ended:
            for output in after[one]["outputs"]:
                for artifact in output["artifacts"]:
                    with urllib.request.urlopen(artifact["url"], timeout=60) as file:
                        assert len(file.read()) == artifact["bytes"]
        until(
            lambda: all(one in ENDED for one in statuses(service, unfinished)),
            400,
            "the unfinished have ended",
        )
        last = documents(service, unfinished)
        assert last[orphan]["error"]["code"] == "source_not_found"
        assert statuses(service, unfinished) == {"completed": EACH - 1, "failed": 1}
        # A manifest that was stored first has the API's clock, not the store's.
        slack = {"store": 0.0, "storage": 60.0}[durability]
        for one in unfinished:
            was, is_now = (seconds(at[one]["created_at"]) for at in (before, last))
            assert abs(is_now - was) <= slack
        assert f"{JOBS} of {JOBS} jobs are there: 0 came" in service.command(
            "reconcile"
        )
