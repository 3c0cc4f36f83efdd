"""Every store of blobs that the conformance suite runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from common.settings.load import Settings
from common.settings.sections import S3, Api, Blobs
from common.storage import connect
from common.storage.port import BlobStore
from tests.api.uploads.context import rclone

BUCKET = "framemill"
SECRET = "contract-secret-" * 4
KEYS = ("contract", "contract-secret")


def s3_settings(endpoint: str) -> Settings:
    """Settings that reach a test server."""
    return Settings(
        blobs=Blobs(backend="s3", bucket=BUCKET),
        s3=S3(
            endpoint_url=endpoint,
            access_key_id=KEYS[0],
            secret_access_key=KEYS[1],
            connect_timeout_seconds=10,
            read_timeout_seconds=60,
            max_attempts=2,
        ),
        api=Api(secret=SECRET),
    )


def make_bucket(endpoint: str, name: str = BUCKET) -> None:
    """Create a bucket, waiting until the server answers."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
    )
    client.create_bucket(Bucket=name)


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    make_bucket(endpoint)
    make_bucket(endpoint, "sources")
    yield endpoint
    server.stop()


@pytest.fixture(scope="session")
def rclone_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run ``rclone serve s3``; each sub-folder is a bucket."""
    folder = tmp_path_factory.mktemp("rclone")
    (folder / BUCKET).mkdir()
    (folder / "sources").mkdir()
    with rclone(folder, KEYS) as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "moto", "rclone"])
def store_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(
    store_kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Settings:
    if store_kind == "local":
        return Settings(
            blobs=Blobs(backend="local", path=tmp_path / "blobs", bucket=BUCKET),
            api=Api(secret=SECRET),
        )
    return s3_settings(request.getfixturevalue(f"{store_kind}_endpoint"))


@pytest.fixture
def store(settings: Settings) -> BlobStore:
    return connect(settings)
