"""A resumable upload goes on where it was, whatever was away meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.api.uploads.context import MIB, url_id
from tests.e2e.context import enlarge
from tests.tools import NODE_MODULES

CLIENT = Path(__file__).parents[2] / "e2e" / "tus_client.cjs"
TUS = {"Tus-Resumable": "1.0.0"}
SIZE = 48 * MIB


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return enlarge(tmp_path_factory.mktemp("clip") / "large.mp4", SIZE)


@pytest.fixture
def service(start_service):
    with start_service() as one:
        yield one


def send(service, method: str, path: str, **headers: str) -> tuple[int, dict]:
    """Send a request without a body; returns status and headers of any answer."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        f"{service.url}{path}", method=method, headers=TUS | told
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def await_refused_head(service) -> None:
    """Wait until a client that lost a PATCH has asked where to go on, in vain."""
    refused = re.compile(
        r'^framemill_http_requests_total\{method="HEAD".*"(4|5)\d\d"\}'
    )
    deadline = time.monotonic() + 90
    while not any(
        map(refused.match, service.ask("/metrics").body.decode().split("\n"))
    ):
        assert time.monotonic() < deadline, "no HEAD was refused within 90 s"
        time.sleep(0.5)


class StoreAway:
    """The job store is stopped within the block."""

    def __init__(self, service) -> None:
        self._group = service.state["children"]["store"]

    def __enter__(self) -> None:
        os.killpg(self._group, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        os.killpg(self._group, signal.SIGCONT)


def test_head_is_423_while_the_store_is_away(service):
    status, made = send(service, "POST", "/v1/tus", Upload_Length="1000")
    assert status == 201
    path = f"/v1/tus/{url_id(made['Location'])}"
    with StoreAway(service):
        status, headers = send(service, "HEAD", path)
        again, _ = send(service, "POST", path, X_HTTP_Method_Override="HEAD")
    assert (status, again) == (423, 423)
    assert int(headers["Retry-After"]) > 0
    assert headers["Tus-Resumable"] == "1.0.0"
    status, headers = send(service, "HEAD", path)
    assert (status, headers["Upload-Offset"]) == (200, "0")


@pytest.mark.needs("node", "tus-js-client")
def test_tus_js_client_goes_on_where_it_was(service, clip, tmp_path):
    memory = tmp_path / "memory"
    argv = ["node", str(CLIENT), f"{service.url}/v1/tus", str(clip), str(MIB)]
    with subprocess.Popen(
        [*argv, str(memory)],
        env={**os.environ, "NODE_PATH": NODE_MODULES},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        before, after = [], []
        for line in client.stderr:
            before.append(int(line))
            if before[-1] > SIZE // 8:
                break
        with StoreAway(service):
            reader = threading.Thread(
                target=lambda: after.extend(map(int, client.stderr)), daemon=True
            )
            reader.start()
            await_refused_head(service)
        reader.join(120)
        url = client.stdout.read().strip()
    assert client.returncode == 0
    assert after[-1] == SIZE
    # It sends again what was not stored, at most the chunk that was under way.
    assert min(after) >= before[-1] - 2 * MIB, "it began a new upload"
    job = service.wait(service.ask(f"/v1/jobs/{url_id(url)}").json())
    assert job["status"] == "completed", job["error"]
