"""What end-to-end tests share: a bigger clip, storage servers, and ended jobs."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import requests
from moto.server import ThreadedMotoServer
from PIL import Image

from tests.api.uploads import context
from tests.chaos.service import Service, until
from tests.conftest import SAMPLE

BUCKET = "framemill"
KEYS = ("e2e-access", "e2e-secret")
THUMBNAIL = [{"kind": "thumbnail"}]
ENDED = {"completed", "partial", "failed", "cancelled"}


def enlarge(path: Path, size: int) -> Path:
    """Write the sample with a box of padding behind it (ISO/IEC 14496-12, 'free')."""
    clip = SAMPLE.read_bytes()
    padding = size - len(clip)
    path.write_bytes(clip + struct.pack(">I4s", padding, b"free") + bytes(padding - 8))
    return path


def s3_settings(endpoint: str) -> dict[str, str]:
    return {
        "FRAMEMILL_BLOBS_BACKEND": "s3",
        "FRAMEMILL_BLOBS_BUCKET": BUCKET,
        "FRAMEMILL_S3_ENDPOINT_URL": endpoint,
        "FRAMEMILL_S3_ACCESS_KEY_ID": KEYS[0],
        "FRAMEMILL_S3_SECRET_ACCESS_KEY": KEYS[1],
    }


def aws(kind: str, endpoint: str) -> Any:
    """Make a boto3 client of a server on loopback."""
    return boto3.client(
        kind,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
    )


@contextmanager
def moto() -> Iterator[str]:
    """Run moto's server with our bucket; gives its endpoint."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    aws("s3", endpoint).create_bucket(Bucket=BUCKET)
    try:
        yield endpoint
    finally:
        server.stop()


@contextmanager
def rclone(folder: Path) -> Iterator[str]:
    """Run rclone's S3 server with our bucket; gives its endpoint."""
    (folder / BUCKET).mkdir(parents=True)
    with context.rclone(folder, KEYS) as endpoint:
        yield endpoint


def await_job(service: Service, job_id: str, key: str = "") -> dict[str, Any]:
    """Follow a job to its end."""
    headers = {"Prefer": "wait=20"}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}

    def ended() -> dict[str, Any] | None:
        answer = requests.get(
            f"{service.url}/v1/jobs/{job_id}", headers=headers, timeout=60
        )
        assert answer.status_code in {200, 202}, answer.text
        job: dict[str, Any] = answer.json()
        return job if job["status"] in ENDED else None

    return until(ended, 120, f"job {job_id} has ended")


def assert_pictures(service: Service, job_id: str) -> dict[str, Any]:
    """Check that a job completed and that its thumbnail shows the sample."""
    job = await_job(service, job_id)
    assert job["status"] == "completed", (job["error"], job["outputs"])
    body = requests.get(job["links"]["thumbnail"], timeout=60).content
    picture = Image.open(io.BytesIO(body))
    low, high = picture.convert("L").getextrema()
    assert picture.size == (640, 360)
    assert high - low > 100, "the picture is flat"
    return job
