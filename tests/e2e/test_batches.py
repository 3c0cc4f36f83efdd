"""A bucket's prefix through real parts: one request, and every video has pictures."""

from __future__ import annotations

import json

import boto3

from tests.conftest import SAMPLE

OUTPUTS = [{"kind": "thumbnail", "width": 160, "policy": "keyframe"}]


def put(service, *names):
    s3 = service.state["s3"]
    client = boto3.client(
        "s3",
        endpoint_url=s3["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=s3["access_key"],
        aws_secret_access_key=s3["secret_key"],
    )
    for name in names:
        body = SAMPLE.read_bytes() if name.endswith(".mp4") else b"no video"
        client.put_object(Bucket="framemill", Key=name, Body=body)


def submit(service, **body):
    text = json.dumps({"outputs": OUTPUTS, **body}).encode()
    return service.ask("/v1/batches", text, "application/json")


def under(prefix, suffix=""):
    return {"s3": {"bucket": "framemill", "prefix": prefix, "suffix": suffix}}


def test_every_video_under_a_prefix_gets_its_thumbnail(service):
    names = [f"season/{number}.mp4" for number in range(4)]
    put(service, *names, "season/notes.txt")

    batch = submit(service, prefix=under("season/", ".mp4"))

    assert (batch["status"], batch["total"]) == ("completed", 4), batch
    listed = service.ask(f"/v1/jobs?batch={batch['id']}")["jobs"]
    assert sorted(job["source"]["key"] for job in listed) == names
    assert all(job["links"]["thumbnail"] for job in listed)


def test_a_batch_with_one_bad_file_is_partial(service):
    put(service, "mixed/good.mp4", "mixed/bad.txt")

    batch = submit(service, prefix=under("mixed/"))

    assert batch["status"] == "partial"
    assert (batch["counts"]["completed"], batch["counts"]["failed"]) == (1, 1)
