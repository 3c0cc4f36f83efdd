"""Other people's clients, unmodified, each with a real job on the running service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from requests_toolbelt import MultipartEncoder

from common.storage.port import PART_BYTES
from tests.api.uploads.context import MIB, url_id
from tests.chaos.service import Service
from tests.conftest import SAMPLE
from tests.e2e.context import (
    BUCKET,
    THUMBNAIL,
    assert_pictures,
    aws,
    enlarge,
    moto,
    rclone,
    s3_settings,
)
from tests.tools import NODE_MODULES, need

LARGE_BYTES = 2 * PART_BYTES + 3 * MIB
CHUNK_BYTES = 1 * MIB
S3 = ["rclone", "moto"]
STORES = ["local", *S3]
HERE = Path(__file__).parent
TUSPY = [sys.executable, str(HERE / "tuspy_client.py")]
TUS_JS = ["node", str(HERE / "tus_client.cjs")]


@pytest.fixture(scope="module")
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service over the store that the test names."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        settings = {}
        if request.param == "moto":
            settings = s3_settings(stack.enter_context(moto()))
        if request.param == "rclone":
            settings = s3_settings(stack.enter_context(rclone(folder / "s3")))
        yield stack.enter_context(Service(folder, **settings))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return enlarge(tmp_path_factory.mktemp("clip") / "large.mp4", LARGE_BYTES)


def on(stores: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("service", stores, indirect=True)


def announce(service: Service, clip: Path, **requested: Any) -> dict[str, Any]:
    """Announce an upload whose job is attached in advance."""
    body = {"size": clip.stat().st_size, "content_type": "video/mp4"}
    body |= {"filename": clip.name, "job": {"outputs": THUMBNAIL}, **requested}
    answer = requests.post(f"{service.url}/v1/uploads", json=body, timeout=60)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.needs("curl")
@on(STORES)
def test_curl_t_to_a_presigned_put(service: Service) -> None:
    upload = announce(service, SAMPLE)
    told = [f"-H{name}: {value}" for name, value in upload["put"]["headers"].items()]

    curl = ["curl", "-sS", "-f", "-T", str(SAMPLE), *told, upload["put"]["url"]]
    subprocess.run(curl, check=True, timeout=60)
    done = requests.post(upload["links"]["complete"], timeout=60)

    assert done.status_code == 200, done.text
    job = assert_pictures(service, upload["id"])
    assert job["source"]["name"] == SAMPLE.name


@on(STORES)
def test_botocore_puts_parts_to_presigned_urls(service: Service, large: Path) -> None:
    upload = announce(service, large, mode="parts")
    data = large.read_bytes()
    session = URLLib3Session()
    told = []

    for item in upload["parts"]["items"]:
        at = (item["number"] - 1) * upload["parts"]["part_bytes"]
        part = data[at : at + item["size"]]
        requested = AWSRequest("PUT", item["url"], item["headers"], part)
        answer = session.send(requested.prepare())
        assert answer.status_code == 200, answer.text
        told.append({"number": item["number"], "etag": answer.headers["ETag"]})
    done = requests.post(upload["links"]["complete"], json={"parts": told}, timeout=60)

    assert len(told) == 3
    assert done.status_code == 200, done.text
    assert_pictures(service, upload["id"])


@on(S3)
def test_boto3_uploads_in_parts_and_names_the_object(
    service: Service, large: Path
) -> None:
    s3 = aws("s3", service.environment["FRAMEMILL_S3_ENDPOINT_URL"])
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_file(str(large), BUCKET, "films/a b+ü.mp4", Config=parts)
    source = {"s3": {"bucket": BUCKET, "key": "films/a b+ü.mp4"}}

    answer = requests.post(
        f"{service.url}/v1/jobs",
        json={"source": source, "outputs": THUMBNAIL},
        timeout=60,
    )

    assert answer.status_code == 202, answer.text
    job = assert_pictures(service, answer.json()["id"])
    assert job["source"]["bytes"] == LARGE_BYTES


@on(STORES)
def test_requests_toolbelts_multipart_encoder(service: Service, large: Path) -> None:
    with large.open("rb") as file:
        body = MultipartEncoder(
            {
                "file": (large.name, file, "video/mp4"),
                "outputs": json.dumps(THUMBNAIL),
            }
        )
        answer = requests.post(
            f"{service.url}/v1/jobs",
            data=body,
            headers={"Content-Type": body.content_type},
            timeout=60,
        )

    assert answer.status_code == 202, answer.text
    assert_pictures(service, answer.json()["id"])


def uploading(
    client: list[str], service: Service, clip: Path, memory: Path
) -> subprocess.Popen[str]:
    """Start a tus client; it writes the offset to stderr after each chunk."""
    return subprocess.Popen(
        [*client, f"{service.url}/v1/tus", str(clip), str(CHUNK_BYTES), str(memory)],
        env={**os.environ, "NODE_PATH": NODE_MODULES},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def reach(client: subprocess.Popen[str], offset: int) -> int:
    """Read on until the client is past ``offset``; gives where it is."""
    assert client.stderr is not None
    for line in client.stderr:
        assert line.strip().isdigit(), line
        if int(line) > offset:
            return int(line)
    raise AssertionError("the client ended before that")


def end(client: subprocess.Popen[str]) -> str:
    """Wait until the client has ended well; gives the upload's id."""
    url, said = client.communicate(timeout=90)
    assert client.returncode == 0, said
    return url_id(url.strip())


@pytest.fixture(params=[TUSPY, TUS_JS], ids=["tuspy", "tus-js-client"])
def tus(request: pytest.FixtureRequest) -> list[str]:
    if request.param is TUS_JS:
        need("node", "tus-js-client")
    return request.param


@on(["moto"])
def test_a_tus_client_uploads(
    service: Service, tus: list[str], large: Path, tmp_path: Path
) -> None:
    with uploading(tus, service, large, tmp_path / "memory") as client:
        upload = end(client)

    job = assert_pictures(service, upload)
    assert job["source"]["name"] == "clip.mp4"


@on(["local", "rclone"])
def test_a_tus_client_ends_its_upload_when_the_api_is_killed_in_the_middle(
    service: Service, tus: list[str], large: Path, tmp_path: Path
) -> None:
    with uploading(tus, service, large, tmp_path / "memory") as client:
        reach(client, PART_BYTES)
        service.restart("api")
        upload = end(client)

    assert_pictures(service, upload)


@on(["local", "rclone"])
def test_a_tus_client_that_was_killed_goes_on_where_it_was(
    service: Service, tus: list[str], large: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "memory"
    with uploading(tus, service, large, memory) as client:
        # tus-js-client tells what it has sent, not what was taken.
        reach(client, PART_BYTES + CHUNK_BYTES)
        client.kill()

    with uploading(tus, service, large, memory) as client:
        first = reach(client, 0)
        upload = end(client)

    assert first >= PART_BYTES, "it did not begin anew"
    assert_pictures(service, upload)
