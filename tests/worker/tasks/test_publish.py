"""Results in the caller's bucket before the job completes, over moto's S3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from common.jobs.service import new_id
from common.jobs.store import Claim, NewJob, NewOutput, Opening
from common.model import Artifact, Destination, Event, JobOptions, MediaInfo, Source
from common.runtime import Runtime
from tests.worker.context import make_context, make_runtime
from worker.delivery.webhook import write_body
from worker.lease import WorkerContext, run
from worker.tasks.publish import publish

FILES = {"poster.jpg": b"picture", "index.vtt": b"WEBVTT"}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    made = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    for bucket in ("framemill", "theirs"):
        made.create_bucket(Bucket=bucket)
    yield made
    server.stop()


@pytest.fixture
def worker_context(client: Any, tmp_path: Path) -> WorkerContext:
    runtime = make_runtime(
        tmp_path,
        blobs={"backend": "s3"},
        s3={
            "endpoint_url": client.meta.endpoint_url,
            "access_key_id": "a",
            "secret_access_key": "b",
            "max_attempts": 1,
        },
    )
    return make_context(runtime)


def rendered(runtime: Runtime, bucket: str = "theirs") -> str:
    """Put a job on record whose output is stored with us and not copied yet."""
    job_id = new_id()
    source = Source(kind="upload", key="in/x/source")
    outputs = [NewOutput("poster", "thumbnail", {"kind": "thumbnail"}, "fast")]
    target = Destination(bucket=bucket, prefix="films/{job_id}")
    options = JobOptions(destination=target)
    runtime.store.accept(NewJob(job_id, "me", source, outputs, options=options))
    prepare = runtime.store.claim(f"{job_id}:prepare", "p", "w")
    assert isinstance(prepare, Claim)
    media = MediaInfo(container="mp4")
    runtime.store.open(prepare, media, source, {"poster": Opening()})
    claim = runtime.store.claim(f"{job_id}:o:poster", "r", "w")
    assert isinstance(claim, Claim)
    artifacts = [stored(runtime, claim, name, data) for name, data in FILES.items()]
    assert runtime.store.finish(claim, artifacts, publish=True).applied
    return job_id


def stored(runtime: Runtime, claim: Claim, name: str, data: bytes) -> Artifact:
    key = f"out/{claim.job_id}/poster/{claim.fence}/{name}"
    with runtime.blobs.writer(key, content_type="image/jpeg") as writer:
        writer.write(data)
        writer.commit()
    return Artifact(
        name=name,
        key=key,
        content_type="image/jpeg",
        bytes=len(data),
        sha256="0" * 64,
    )


def copies(client: Any, bucket: str, job_id: str) -> int:
    found = client.list_objects_v2(Bucket=bucket, Prefix=f"films/{job_id}/")
    return int(found["KeyCount"])


def test_every_file_is_there_when_the_job_completes(worker_context, client):
    job_id = rendered(worker_context.runtime)
    run(worker_context, f"{job_id}:o:poster", "task", publish)
    job = worker_context.runtime.store.get(job_id)
    assert job.status == "completed"
    named = {one.name: one.copy_at for one in job.outputs[0].artifacts}
    for name, data in FILES.items():
        assert named[name].key == f"films/{job_id}/poster/{name}"
        found = client.get_object(Bucket="theirs", Key=named[name].key)
        assert found["Body"].read() == data


def test_a_refused_destination_fails_the_output_at_once(worker_context, client):
    job_id = rendered(worker_context.runtime, bucket="nobodys")
    run(worker_context, f"{job_id}:o:poster", "task", publish)
    job = worker_context.runtime.store.get(job_id)
    (output,) = job.outputs
    assert (job.status, output.error.code) == ("failed", "destination_forbidden")
    assert [one.rung for one in output.attempts] == ["publish"]
    assert len(list(worker_context.runtime.blobs.list(f"out/{job_id}/"))) == len(FILES)


def test_a_retry_copies_once_the_bucket_is_there(worker_context, client):
    bucket = f"later-{new_id()}"
    job_id = rendered(worker_context.runtime, bucket)
    run(worker_context, f"{job_id}:o:poster", "task", publish)
    client.create_bucket(Bucket=bucket)
    worker_context.runtime.jobs.retry(job_id, "me")
    run(worker_context, f"{job_id}:o:poster", "task", publish)
    assert worker_context.runtime.store.get(job_id).status == "completed"
    assert copies(client, bucket, job_id) == len(FILES)


def test_a_storage_that_is_away_is_tried_again(worker_context, client, monkeypatch):
    job_id = rendered(worker_context.runtime)
    away = make_runtime(
        worker_context.runtime.settings.worker.scratch,
        blobs={"backend": "s3"},
        s3={"endpoint_url": "http://127.0.0.1:1", "max_attempts": 1},
    ).blobs
    monkeypatch.setattr(worker_context.runtime.blobs, "export", away.export)
    run(worker_context, f"{job_id}:o:poster", "task", publish)
    job = worker_context.runtime.store.get(job_id)
    (output,) = job.outputs
    assert (output.status, output.attempts) == ("running", [])
    assert job.waiting.error.code == "storage_unavailable"


def test_a_deleted_job_leaves_its_copies(worker_context, client):
    job_id = rendered(worker_context.runtime)
    run(worker_context, f"{job_id}:o:poster", "task", publish)
    worker_context.runtime.jobs.delete(job_id, "me")
    assert list(worker_context.runtime.blobs.list(f"out/{job_id}/")) == []
    assert copies(client, "theirs", job_id) == len(FILES)


def test_the_webhook_of_the_end_names_the_copies(worker_context, client):
    job_id = rendered(worker_context.runtime)
    run(worker_context, f"{job_id}:o:poster", "task", publish)
    event = Event(id="1-0", type="job.completed", at=0)
    job = worker_context.runtime.store.get(job_id)
    body = json.loads(write_body(job_id, event, job, "/v1"))
    (output,) = body["data"]["job"]["outputs"]
    keys = [f"films/{job_id}/poster/{name}" for name in FILES]
    assert output["copies"] == [{"bucket": "theirs", "key": key} for key in keys]


def test_a_copier_that_comes_back_late_changes_nothing(
    worker_context, client, monkeypatch
):
    runtime = worker_context.runtime
    job_id = rendered(runtime)
    task = f"{job_id}:o:poster"
    export = runtime.blobs.export
    seen: list[dict[str, bytes]] = []

    def late(artifact, to, place):
        # This worker was paused for longer than its lease: another one does the work.
        if not seen:
            monkeypatch.setattr(runtime.blobs, "export", export)
            store, prefix = runtime.store, runtime.settings.store.prefix
            now = store._client.time()[0] * 1000
            store._client.set(f"{prefix}reaper", now)
            store._client.zadd(f"{prefix}leased", {task: 1}, xx=True)
            assert store.reap(10, {"fast": 0, "slow": 0}).expired == 1
            run(worker_context, task, "other", publish)
            assert store.get(job_id).status == "completed"
            seen.append(bodies(client, job_id))
        export(artifact, to, place)

    monkeypatch.setattr(runtime.blobs, "export", late)
    run(worker_context, task, "task", publish)

    assert bodies(client, job_id) == seen[0]
    job = runtime.store.get(job_id)
    events = [one.type for one in runtime.store.events(job_id)]
    assert (job.status, events.count("output.succeeded")) == ("completed", 1)


def bodies(client: Any, job_id: str) -> dict[str, bytes]:
    found = client.list_objects_v2(Bucket="theirs", Prefix=f"films/{job_id}/")
    return {
        one["Key"]: client.get_object(Bucket="theirs", Key=one["Key"])["Body"].read()
        for one in found["Contents"]
    }
