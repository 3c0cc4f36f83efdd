"""An upload of any size leaves the server's memory as it was.

The size is ``FRAMEMILL_TEST_UPLOAD_MB`` (default 200). The full run is
``FRAMEMILL_TEST_UPLOAD_MB=2048 ./dev test tests/api/uploads/test_memory.py -s``.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api.uploads.context import rclone, start
from tests.ports import free_port

MIB = 1024 * 1024
SIZE_MB = int(os.environ.get("FRAMEMILL_TEST_UPLOAD_MB", "200"))
ROOM_MB = 100
HERE = Path(__file__).parent
KEYS = ("memory", "memory-secret")
HEAD = (
    b'--B\r\nContent-Disposition: form-data; name="outputs"\r\n\r\n[]\r\n--B\r\n'
    b'Content-Disposition: form-data; name="file"; filename="big.mp4"\r\n'
    b"Content-Type: video/mp4\r\n\r\n"
)
END = b"\r\n--B--\r\n"


@contextmanager
def child(argv: list[str], port: int, **environ: str) -> Iterator[None]:
    process = start(argv, port, environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def storage(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    if kind == "local":
        yield {"FRAMEMILL_BLOBS_PATH": str(folder)}
        return
    (folder / "framemill").mkdir()
    with rclone(folder, KEYS) as endpoint:
        yield {
            "FRAMEMILL_BLOBS_BACKEND": "s3",
            "FRAMEMILL_S3_ENDPOINT_URL": endpoint,
            "FRAMEMILL_S3_ACCESS_KEY_ID": KEYS[0],
            "FRAMEMILL_S3_SECRET_ACCESS_KEY": KEYS[1],
        }


def memory_mb(pid: int, field: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", text)
    assert found
    return int(found[1]) / 1024


def upload(port: int, megabytes: int) -> tuple[dict[str, object], str]:
    block = os.urandom(MIB)
    digest = hashlib.sha256()

    def body() -> Iterator[bytes]:
        yield HEAD
        for number in range(megabytes):
            chunk = number.to_bytes(8, "big") + block[8:]
            digest.update(chunk)
            yield chunk
        yield END

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    length = len(HEAD) + megabytes * MIB + len(END)
    headers = {
        "Content-Type": "multipart/form-data; boundary=B",
        "Content-Length": str(length),
    }
    connection.request("POST", "/upload", body(), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == 200, text
    return json.loads(text), digest.hexdigest()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["local", "rclone"])
def test_a_big_upload_then_the_server_s_memory_stays(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    folder.mkdir()
    port = free_port()
    argv = [str(Path(sys.executable).parent / "gunicorn"), "--chdir", str(HERE)]
    argv += ["--pythonpath", str(HERE.parents[2]), "-k", "api.server.Worker"]
    argv += ["--threads", "4", "-b", f"127.0.0.1:{port}", "server:app"]
    with storage(kind, folder) as environ, child(argv, port, **environ):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/pid")
        pid = int(connection.getresponse().read())
        connection.close()
        idle = memory_mb(pid, "VmRSS")
        began = time.monotonic()
        answer, sha256 = upload(port, SIZE_MB)
        seconds = time.monotonic() - began
        peak = memory_mb(pid, "VmHWM")
        print(
            f"{kind}: {SIZE_MB} MiB in {seconds:.1f} s, idle {idle:.0f} MB, "
            f"peak {peak:.0f} MB"
        )
        assert answer == {
            "size": SIZE_MB * MIB,
            "sha256": sha256,
            "fields": {"outputs": "[]"},
        }
        assert peak - idle < ROOM_MB
