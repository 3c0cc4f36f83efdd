"""Workers die while they copy results: no job completes before its copies are whole."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import urllib.request
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from tests.chaos.service import Service, until
from tests.conftest import SAMPLE
from tests.e2e.context import BUCKET, aws, moto, s3_settings

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
JOBS = 6
FILES = 8
OUTPUTS = [{"kind": "thumbnail", "count": FILES, "width": 96, "format": "png"}]


def submit(service: Service) -> str:
    body = {
        "source": {"s3": {"bucket": BUCKET, "key": "clip.mp4"}},
        "outputs": OUTPUTS,
        "destination": {"s3": {"bucket": "theirs", "prefix": "films/{job_id}"}},
    }
    request = urllib.request.Request(
        f"{service.url}/v1/jobs",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["id"])


def test_every_copy_is_whole_when_its_job_completes(tmp_path):
    with moto() as endpoint:
        client = aws("s3", endpoint)
        client.create_bucket(Bucket="theirs")
        client.upload_file(str(SAMPLE), BUCKET, "clip.mp4")
        settings = s3_settings(endpoint) | {"FRAMEMILL_BLOBS_DESTINATIONS": "theirs"}
        with Service(tmp_path, **settings) as service:
            ids = [submit(service) for _ in range(JOBS)]
            for kill in (1, 2):
                until(lambda k=kill: half_copied(service, client, k), 120, "a copy")
                for pid in service.pool_children():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            until(lambda: completed(service, client, ids), 120, "all jobs complete")

        found = client.list_objects_v2(Bucket="theirs")["Contents"]
        assert Counter(one["Key"].split("/")[1] for one in found) == dict.fromkeys(
            ids, FILES
        )


def half_copied(service: Service, client: Any, kill: int) -> bool:
    """Return whether some job has some of its copies and not all of them."""
    listed = client.list_objects_v2(Bucket="theirs").get("Contents", [])
    copies = Counter(one["Key"].split("/")[1] for one in listed)
    return len(copies) >= kill and any(count < FILES for count in copies.values())


def completed(service: Service, client: Any, ids: list[str]) -> bool:
    """Check every job that has completed: all of its copies must be there."""
    done = 0
    for job_id in ids:
        job = service.get(f"/v1/jobs/{job_id}")
        assert job["status"] in {"accepted", "processing", "completed"}, job["outputs"]
        if job["status"] != "completed":
            continue
        done += 1
        for artifact in job["outputs"][0]["artifacts"]:
            place = artifact["copy_at"]
            copy = client.get_object(Bucket=place["bucket"], Key=place["key"])["Body"]
            assert hashlib.sha256(copy.read()).hexdigest() == artifact["sha256"]
    return done == len(ids)
