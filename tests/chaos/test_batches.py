"""Kill parts while a batch expands and while it is cancelled: each source, one job."""

from __future__ import annotations

import json
import os
import urllib.request

import pytest

from tests.chaos.service import Service, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
OBJECTS = 3000 if os.environ.get("CHAOS") == "full" else 800
NAMES = {f"films/{number:05d}.mp4" for number in range(OBJECTS)}
STEPS = 4


def post(service, path, body):
    request = urllib.request.Request(
        service.url + path,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def jobs_of(service, batch_id):
    """Page through the jobs of a batch."""
    url, found, cursor = f"/v1/jobs?batch={batch_id}&limit=200", [], ""
    while cursor is not None:
        page = service.get(url + (f"&cursor={cursor}" if cursor else ""))
        found += page["jobs"]
        cursor = page["next"]
    return found


def put_objects(folder):
    (folder / "blobs" / "films").mkdir(parents=True)
    for name in NAMES:
        (folder / "blobs" / name).write_bytes(b"no video")


def test_a_batch_makes_each_job_once_whatever_is_killed(tmp_path):
    put_objects(tmp_path)
    with Service(tmp_path) as service:
        place = {"bucket": "framemill", "prefix": "films/"}
        batch_id = post(service, "/v1/batches", {"prefix": {"s3": place}})["id"]
        kills = ["worker", "broker", "worker", "sweep"]

        def made():
            service.restart_all()
            return int(service.store.hget(f"fm:batch:{batch_id}", "made"))

        for number, name in enumerate(kills, 1):
            share = OBJECTS * number // (STEPS + 1)
            until(lambda share=share: made() >= share, 120, f"{share} jobs are made")
            if name == "broker":
                service.broker.flushall()
            else:
                service.restart(name)
        until(lambda: made() == OBJECTS, 200, "all jobs are made")

        jobs = jobs_of(service, batch_id)
        assert len(jobs) == OBJECTS
        assert {job["source"]["key"] for job in jobs} == NAMES

        post(service, f"/v1/batches/{batch_id}/cancel", {})
        waiting = service.get(f"/v1/batches/{batch_id}")["counts"]["accepted"]
        until(lambda: ended_jobs(service, batch_id) > OBJECTS // 4, 120, "some ended")
        service.restart("worker")

        def ended():
            service.restart_all()
            batch = service.get(f"/v1/batches/{batch_id}")
            return batch["finished_at"] and batch

        batch = until(ended, 120, "the batch has ended")
        counts = batch["counts"]
        assert counts["failed"] + counts["cancelled"] == OBJECTS, counts
        assert counts["cancelled"] >= waiting, "the work on a cancelled batch went on"
        assert batch["status"] == ("failed" if counts["failed"] else "cancelled")
        told = service.store.xrange(f"fm:events:{batch_id}")
        kinds = [fields["type"] for _, fields in told]
        assert kinds.count(f"batch.{batch['status']}") == 1


def ended_jobs(service, batch_id):
    counts = service.get(f"/v1/batches/{batch_id}")["counts"]
    return counts["failed"] + counts["cancelled"]
