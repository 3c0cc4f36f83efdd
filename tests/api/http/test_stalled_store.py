"""A store that accepts connections but does not answer: told in time, and over."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from common.jobs.store import JobStore
from common.runtime import Runtime
from tests.api.conftest import OBJECT, Context, a_file
from tests.api.http.test_auth import a_key
from tests.common import valkey
from tests.worker.context import make_runtime

# Twice the store's timeout, which a second call or a second try would take.
SECONDS = 4.0


class Stalling(Context):
    """The API with keys over a store that can be halted."""

    server: subprocess.Popen[bytes]

    def post(self, headers: dict[str, str], form: bool) -> Any:
        body: dict[str, Any] = (
            {"data": {"file": a_file()}} if form else {"json": {"source": OBJECT}}
        )
        return self.client.post("/v1/jobs", headers=headers, **body)


@pytest.fixture
def stalling(tmp_path: Path) -> Iterator[Stalling]:
    with valkey.running(tmp_path) as (url, server):
        runtime: Runtime = make_runtime(
            tmp_path, api={"secret": "x" * 32}, store={"url": url}
        )
        runtime = replace(runtime, store=JobStore.connect(runtime.settings))
        client = create_app(runtime).test_client()
        made = Stalling(runtime, client, runtime.dispatcher, tmp_path)  # type: ignore[arg-type]
        made.server = server
        yield made
        server.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
@pytest.mark.parametrize("used", [False, True], ids=["new", "open"])
def test_given_a_stalled_store_when_a_job_is_posted_then_503_in_time_and_202_after(
    stalling: Stalling, form: bool, used: bool
) -> None:
    headers = {**a_key(stalling), "Idempotency-Key": "k"}
    if not used:
        stalling.runtime.store._client.connection_pool.disconnect()
    stalling.server.send_signal(signal.SIGSTOP)
    began = time.monotonic()

    refused = stalling.post(headers, form)

    assert time.monotonic() - began < SECONDS
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    stalling.server.send_signal(signal.SIGCONT)
    assert stalling.post(headers, form).status_code == 202
    # What the stalled server still did of the first is not done twice.
    listed = stalling.client.get("/v1/jobs", headers=headers).json["jobs"]
    assert len(listed) == 1
