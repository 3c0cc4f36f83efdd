"""What ``/readyz`` says of real servers: without room, evicting, away."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from api.app import create_app
from common.jobs import queue
from common.jobs.store import JobStore
from common.runtime import Runtime
from tests.common import valkey
from tests.common.parts import each_part, refusal
from tests.worker.context import make_runtime
from worker.storage_watch import StorageWatch

_URL = {"store": "FRAMEMILL_STORE_URL", "broker": "FRAMEMILL_BROKER_URL"}
_OBJECT = {"source": {"s3": {"bucket": "framemill", "key": "films/clip.mp4"}}}


class Servers:
    """The API in this process, over a real store and a real broker."""

    def __init__(self, folder: Path, urls: dict[str, str]) -> None:
        self.redis = {name: redis.Redis.from_url(url) for name, url in urls.items()}
        runtime = make_runtime(
            folder,
            api={"secret": "x" * 32, "auth": False},
            store={"url": urls["store"]},
            broker={"url": urls["broker"]},
        )
        self.runtime: Runtime = replace(
            runtime,
            store=JobStore.connect(runtime.settings),
            dispatcher=queue.connect(runtime.settings),
        )
        self.client: FlaskClient = create_app(self.runtime).test_client()
        self.runtime.store.worker_alive("host:1", {"queues": ["fast", "slow"]})
        self.runtime.store.reap()

    def ready(self) -> tuple[int, Any]:
        answer = self.client.get("/readyz")
        return answer.status_code, answer.json

    def fill(self, name: str) -> None:
        """Let the server have no room for one key more."""
        self.redis[name].config_set("maxmemory", 1)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        urls = {}
        for name in ("store", "broker"):
            (tmp_path / name).mkdir()
            running = valkey.running(tmp_path / name)
            urls[name] = stack.enter_context(running)[0]
        yield Servers(tmp_path, urls)


def test_all_parts_then_ok(servers: Servers) -> None:
    status, document = servers.ready()
    assert (status, document["status"], document["reasons"]) == (200, "ok", [])
    assert not servers.redis["store"].exists("fm:room")


def test_a_full_store_refuses_jobs_and_says_so(servers: Servers) -> None:
    servers.fill("store")
    status, document = servers.ready()
    assert status == servers.client.post("/v1/jobs", json=_OBJECT).status_code == 503
    assert "the job store refuses to write" in document["detail"]


def test_a_nearly_full_store_refuses_what_is_new_and_says_so(servers: Servers) -> None:
    servers.redis["store"].setrange("filler", 20_000_000, "x")
    used = servers.redis["store"].info("memory")["used_memory"]
    servers.redis["store"].config_set("maxmemory", round(used / 0.95))
    batch = {"sources": [_OBJECT["source"]]}

    status, document = servers.ready()
    answers = [
        servers.client.post("/v1/jobs", json=_OBJECT),
        servers.client.post("/v1/batches", json=batch),
    ]

    for answer in answers:
        assert answer.status_code == status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert "the job store is nearly full" in answer.json["detail"]
    assert "the job store is nearly full" in document["detail"]
    metrics = servers.client.get("/metrics").get_data(as_text=True)
    assert re.search(r"^framemill_store_memory_ratio 0\.9\d", metrics, re.MULTILINE)


@pytest.mark.parametrize("name", ["store", "broker"])
def test_a_server_that_begins_to_evict_is_refused(servers: Servers, name: str) -> None:
    servers.redis[name].config_set("maxmemory-policy", "allkeys-lru")
    status, document = servers.ready()
    assert status == 503
    assert _URL[name] in document["detail"]
    assert "'noeviction'" in document["detail"]


def test_a_full_broker_only_degrades_the_service(servers: Servers) -> None:
    servers.fill("broker")
    status, document = servers.ready()
    assert (status, document["status"]) == (200, "degraded")
    (reason,) = document["reasons"]
    assert reason.startswith("the broker refuses to write")
    assert servers.client.post("/v1/jobs", json=_OBJECT).status_code == 202


def test_a_broker_that_is_away_only_degrades_the_service(servers: Servers) -> None:
    with contextlib.suppress(redis.ConnectionError):
        servers.redis["broker"].shutdown(nosave=True)
    status, document = servers.ready()
    assert (status, document["status"]) == (200, "degraded")
    (reason,) = document["reasons"]
    assert reason.startswith("the broker did not answer")


def test_a_queue_without_worker_is_named_and_counted(servers: Servers) -> None:
    servers.redis["store"].delete("fm:workers")
    servers.runtime.store.worker_alive("host:2", {"queues": ["slow"]})
    status, document = servers.ready()
    assert (status, document["status"]) == (200, "degraded")
    assert document["reasons"] == [
        "no worker takes tasks of the queue 'fast': they wait"
    ]
    metrics = servers.client.get("/metrics").get_data(as_text=True)
    assert "framemill_degraded 1.0" in metrics


def test_a_scratch_folder_without_room_is_told(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full is the kernel's own disk without room."""
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        return write(Path("/dev/full") if path.name == "room" else path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    StorageWatch(servers.runtime, "host:1").check()
    status, document = servers.ready()
    assert (status, document["status"]) == (200, "degraded")
    (reason,) = document["reasons"]
    assert "no space left" in reason
    assert "host" in reason
    assert list((servers.runtime.settings.worker.scratch / "attempts").iterdir()) == []


@pytest.mark.parametrize("evicting", ["store", "broker"])
@each_part
def test_no_process_starts_on_a_server_that_evicts(
    tmp_path: Path, part: list[str], evicting: str
) -> None:
    with contextlib.ExitStack() as stack:
        servers: dict[str, str] = {}
        for name, variable in _URL.items():
            (tmp_path / name).mkdir()
            policy = "allkeys-lru" if name == evicting else "noeviction"
            running = valkey.running(tmp_path / name, policy=policy)
            servers[variable] = stack.enter_context(running)[0]
        said = refusal(part, tmp_path, **servers)
    assert f"{_URL[evicting]}: the server's maxmemory-policy is 'allkeys-lru'" in said
