"""A film that is cut into parts delivers every file that its index names."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.acceptance.decode import decode
from tests.acceptance.faults.films import grey_stretches
from tests.acceptance.faults.processes import await_progress, pool_children
from tests.acceptance.service import Service, artifact

WINDOWS, SECONDS = 5, 600
SNIPPETS = {"kind": "snippets", "window": SECONDS, "width": 32, "fps": 0.1}
FILES = [f"snippet-{number:04d}.gif" for number in range(1, WINDOWS + 1)]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """A film whose windows are so long that each is estimated to take a part's time."""
    path = tmp_path_factory.mktemp("film") / "long.mp4"
    return grey_stretches(path, WINDOWS, SECONDS)


@pytest.fixture(scope="module")
def job(service, film):
    return service.submit(film, [SNIPPETS])


def test_every_file_that_the_index_names_opens_and_shows_its_window(service, job):
    assert job["status"] == "completed", job["error"]
    index = artifact(job, "snippets", "snippets.json")

    files = service.follow(index["url"])

    assert [file.name for file in files] == FILES
    for place, file in enumerate(files):
        frames = decode(file.body)
        assert len(frames) == 60
        shown = frames[30].picture.convert("L").getpixel((16, 12))
        assert shown == pytest.approx(20 + 30 * place, abs=4)


def test_the_document_lists_each_file_with_its_bytes(service, job):
    (output,) = job["outputs"]

    assert [one["name"] for one in output["artifacts"]] == [*FILES, "snippets.json"]
    index = service.fetch(output["artifacts"][-1]).json()
    stated = {one["file"]: one["bytes"] for one in index["snippets"]}
    for one in output["artifacts"][:-1]:
        assert len(service.fetch(one).body) == one["bytes"] == stated[one["name"]]


def test_the_command_saves_all_files(service, film, tmp_path):
    requested = json.dumps([SNIPPETS])

    done = service.command(
        *("submit", film, "--server", service.url, "--outputs", requested),
        *("--wait", "-o", tmp_path / "out"),
    )

    assert done.returncode == 0, done.stderr
    saved = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert saved == {*FILES, "snippets.json"}


def test_a_destination_gets_all_files_though_workers_die(start_service, film):
    """Workers die within and between the parts: each file is delivered once."""
    with start_service(
        FRAMEMILL_BLOBS_DESTINATIONS="theirs", FRAMEMILL_WORKER_CONCURRENCY="1"
    ) as service:
        client = theirs(service)
        destination = {"s3": {"bucket": "theirs", "prefix": "x"}}
        job = service.post(film, [SNIPPETS], destination=destination)
        for share in (5, 45):
            job = await_progress(service, job, share)
            for pid in pool_children(service.data):
                os.kill(pid, signal.SIGKILL)
        job = service.wait(job)

        assert job["status"] == "completed", job["error"]
        index = artifact(job, "snippets", "snippets.json")
        assert [file.name for file in service.follow(index["url"])] == FILES
        (output,) = job["outputs"]
        assert [one["name"] for one in output["artifacts"]] == [*FILES, index["name"]]
        found = client.list_objects_v2(Bucket="theirs")["Contents"]
        copies = {one["Key"]: one["Size"] for one in found}
        assert copies == {
            f"x/snippets/{one['name']}": one["bytes"] for one in output["artifacts"]
        }


def theirs(service: Service) -> Any:
    """Make a caller's bucket in the service's S3; return its client."""
    s3 = service.state["s3"]
    client = boto3.client(
        "s3",
        endpoint_url=s3["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=s3["access_key"],
        aws_secret_access_key=s3["secret_key"],
    )
    client.create_bucket(Bucket="theirs")
    return client


def test_a_deleted_job_leaves_no_file_of_its_parts(service, film):
    job = service.submit(film, [SNIPPETS])
    index = artifact(job, "snippets", "snippets.json")
    assert len(service.follow(index["url"])) == WINDOWS
    folder = service.data  # None where the service runs elsewhere
    files = f"*{job['id']}*/snippets/*/*"
    assert folder is None or list(folder.rglob(files))

    service.ask(f"/v1/jobs/{job['id']}", method="DELETE")

    deadline = time.monotonic() + 120
    while folder and list(folder.rglob(files)):
        assert time.monotonic() < deadline, "files of a deleted job are left"
        time.sleep(0.5)
