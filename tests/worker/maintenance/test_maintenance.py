"""Maintenance: rescues, cleanups, and a process that outlives its surroundings."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from structlog.testing import capture_logs

from common import storage as blobs
from common.errors import (
    SourceNotFound,
    StorageUnavailable,
    StoreUnavailable,
    Unavailable,
)
from common.jobs.queue import RecordingDispatcher
from common.jobs.store import JobStore, Reaped
from common.model import Message
from common.redis.client import open_client
from common.runtime import Runtime
from common.settings.load import Settings
from common.storage.port import BlobStore
from common.uploads import NewUpload, Uploads
from tests.common import valkey
from tests.common.jobs.store.context import IDLE, StoreContext, an_artifact
from tests.ports import free_port
from worker.maintenance import __main__ as process
from worker.maintenance.__main__ import Maintenance
from worker.maintenance.janitor import Janitor
from worker.maintenance.queues import log_queues
from worker.maintenance.reaper import Reaper

WAIT_SECONDS = 60.0
ROOT = Path(__file__).parents[3]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "blobs": {"path": tmp_path / "blobs"},
            "api": {"secret": "x" * 32, "public_url": "https://frames.test"},
            "store": {"prefix": "sweep:"},
        }
    )


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with fakeredis.FakeRedis(decode_responses=True) as client:
        yield client


@pytest.fixture
def store_context(settings: Settings, client: redis.Redis) -> StoreContext:
    return StoreContext(JobStore(settings, client), client)


@pytest.fixture
def files(settings: Settings) -> BlobStore:
    return blobs.connect(settings)


@pytest.fixture
def uploads(settings: Settings, client: redis.Redis, files: BlobStore) -> Uploads:
    return Uploads(settings, client, files)


@pytest.fixture
def janitor(store_context: StoreContext, files: BlobStore, uploads: Uploads) -> Janitor:
    return Janitor(store_context.store, files, uploads, 24)


def put(files: BlobStore, key: str) -> str:
    with files.writer(key, content_type="image/jpeg") as writer:
        writer.write(b"x")
        writer.commit()
    return key


def keys(files: BlobStore, prefix: str = "") -> list[str]:
    return [blob.key for blob in files.list(prefix)]


def all_due(store_context: StoreContext) -> None:
    for member in store_context.client.zrange(store_context.key("chores"), 0, -1):
        store_context.has_run_out(str(member))


class Broker(RecordingDispatcher):
    """A dispatcher whose broker can be away or slow."""

    def __init__(self, error: Exception | None = None, slow: float = 0) -> None:
        super().__init__()
        self.error = error
        self.slow = slow

    def backlog(self) -> dict[str, int]:
        if self.error is not None:
            raise self.error
        return IDLE

    def enqueue(self, messages: Sequence[Message]) -> None:  # type: ignore[override]
        time.sleep(self.slow)
        super().enqueue(messages)


def test_a_lost_lease_is_sent_again(store_context: StoreContext) -> None:
    claim = store_context.claim(f"{store_context.opened()}:o:poster")
    store_context.reaper_was_here()
    store_context.expire(claim.task)
    broker = Broker()
    assert Reaper(store_context.store, broker, 5).sweep().expired == 1
    assert [message.task for message in broker.messages] == [claim.task]


def test_a_broker_that_is_away_delays_no_rescue(store_context: StoreContext) -> None:
    claim = store_context.claim(f"{store_context.opened()}:o:poster")
    store_context.reaper_was_here()
    store_context.expire(claim.task)
    broker = Broker(Unavailable("away"))

    assert Reaper(store_context.store, broker, 5).sweep().expired == 1

    assert broker.messages == []
    store_context.make_due(claim.task, "pending:fast")
    broker.error = None
    Reaper(store_context.store, broker, 5).sweep()
    assert [message.task for message in broker.messages] == [claim.task]


def test_a_defect_of_the_dispatcher_is_not_swallowed(
    store_context: StoreContext,
) -> None:
    with pytest.raises(KeyError):
        Reaper(store_context.store, Broker(KeyError("x")), 5).sweep()


def test_sending_ends_in_time_for_the_next_pass(store_context: StoreContext) -> None:
    for _ in range(40):
        store_context.make_due(f"{store_context.accept()}:prepare", "pending:fast")
    store_context.reaper_was_here()
    broker = Broker(slow=0.05)
    Reaper(store_context.store, broker, 0.06).sweep()
    assert 10 <= len(broker.messages) <= 30


def test_the_state_of_each_queue_is_logged(store_context: StoreContext) -> None:
    store = store_context.store
    store_context.claim(f"{store_context.opened()}:o:poster")
    waits = f"{store_context.accept()}:prepare"
    key = store_context.key("queued:fast")
    store_context.client.zincrby(key, -90_000, waits)
    store.worker_alive("a", {"queues": ["fast", "slow"], "sandbox": {}})
    store.worker_alive("b", {"queues": ["fast"], "sandbox": {}})

    with capture_logs() as lines:
        log_queues(store)

    fast, slow = lines
    assert fast.pop("oldest_seconds") == pytest.approx(90, abs=30)
    same = {"event": "queue.state", "log_level": "info", "delayed": 0}
    assert fast == same | {"queue": "fast", "ready": 1, "running": 1, "workers": 2}
    assert slow == same | {
        "queue": "slow",
        "ready": 0,
        "running": 0,
        "workers": 1,
        "oldest_seconds": 0,
    }


def test_orphans_go_and_artifacts_stay(
    store_context: StoreContext, files: BlobStore, janitor: Janitor
) -> None:
    job_id = store_context.opened()
    claim = store_context.claim(f"{job_id}:o:poster")
    kept = put(files, an_artifact(claim).key)
    put(files, f"out/{job_id}/poster/{claim.fence + 7}/stale.jpg")
    other = put(files, f"out/{'f' * 32}/poster/1/a.jpg")
    store_context.store.finish(claim, [an_artifact(claim)])
    store_context.has_run_out(f"litter:{job_id}")

    assert janitor.clean() == 1

    assert sorted(keys(files, "out/")) == sorted([kept, other])


def test_files_of_parts_stay_and_those_of_lost_parts_go(
    store_context: StoreContext, files: BlobStore, janitor: Janitor
) -> None:
    job_id = store_context.accept("strip")
    store_context.open(job_id, strip=2)
    kept = []
    for task in (f"{job_id}:o:strip:0", f"{job_id}:o:strip:1", f"{job_id}:o:strip"):
        claim = store_context.claim(task)
        kept.append(put(files, an_artifact(claim).key))
        store_context.store.finish(claim, [an_artifact(claim)])
    put(files, f"out/{job_id}/strip/77/lost.gif")
    store_context.has_run_out(f"litter:{job_id}")

    janitor.clean()

    assert sorted(keys(files, "out/")) == sorted(kept)


def test_orphans_of_a_job_that_was_begun_anew_are_left_to_its_next_end(
    store_context: StoreContext,
    files: BlobStore,
    janitor: Janitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cleanup was in the janitor's hands when somebody asked for a retry."""
    job_id = store_context.accept("strip")
    store_context.open(job_id, strip=2)
    store_context.ruin(f"{job_id}:o:strip:0")
    store_context.has_run_out(f"litter:{job_id}")
    (cleanup,) = store_context.store.cleanups()
    store_context.store.retry(job_id)
    claim = store_context.claim(f"{job_id}:o:strip:0")
    key = put(files, an_artifact(claim).key)
    store_context.store.finish(claim, [an_artifact(claim)])
    due = [[cleanup], []]
    monkeypatch.setattr(store_context.store, "cleanups", lambda _most: due.pop(0))

    janitor.clean()

    assert keys(files, "out/") == [key]


def test_a_source_past_retention_goes_with_its_last_job(
    store_context: StoreContext, files: BlobStore, janitor: Janitor
) -> None:
    job_id = store_context.done()
    key = put(files, f"in/{job_id}/source")
    store_context.has_run_out(f"source:{job_id}:{key}")
    janitor.clean()
    assert keys(files) == []
    assert not store_context.get(job_id).source_kept


def test_a_record_past_retention_goes_with_its_results(
    store_context: StoreContext, files: BlobStore, janitor: Janitor
) -> None:
    job_id = store_context.done()
    put(files, f"out/{job_id}/poster/2/a.jpg")
    put(files, f"in/{job_id}/source")
    all_due(store_context)
    janitor.clean()
    assert keys(files) == []
    assert store_context.store.cleanups() == []
    assert store_context.store.list() == ([], None)


def test_what_a_deletion_left_is_removed(
    store_context: StoreContext, files: BlobStore, janitor: Janitor
) -> None:
    job_id = store_context.opened()
    put(files, f"in/{job_id}/source")
    store_context.store.delete(job_id)
    put(files, f"out/{job_id}/poster/2/late.jpg")
    all_due(store_context)
    janitor.clean()
    assert keys(files) == []


def test_an_upload_that_no_job_took_is_removed(
    store_context: StoreContext, files: BlobStore, janitor: Janitor
) -> None:
    store_context.store.reserve_blob(put(files, "in/x/source"), -1)
    store_context.store.reserve_blob(put(files, "in/y/source"), 60)
    janitor.clean()
    assert keys(files) == ["in/y/source"]


def test_an_expired_upload_is_dropped(
    store_context: StoreContext, files: BlobStore, uploads: Uploads, janitor: Janitor
) -> None:
    upload = uploads.create(
        NewUpload(owner="", mode="put", size=1, content_type="video/mp4")
    )
    put(files, upload.key)
    assert janitor.clean() == 0
    store_context.client.zadd(store_context.key("uploads"), {upload.id: 1})
    assert janitor.clean() == 1
    assert keys(files) == []


def test_parts_that_a_killed_writer_left_are_removed_once_they_are_old(
    files: BlobStore, settings: Settings, janitor: Janitor
) -> None:
    kind = "video/mp4"
    old, young = (
        files.begin_parts(f"in/{name}/source", content_type=kind) for name in "ab"
    )
    (folder,) = settings.blobs.path.rglob(old)
    os.utime(folder, (1, 1))
    assert janitor.clean() == 1
    assert list(files.list_parts("in/b/source", young)) == []
    with pytest.raises(SourceNotFound):
        list(files.list_parts("in/a/source", old))


def test_an_unreachable_blob_store_defers_the_cleanup(
    store_context: StoreContext,
    files: BlobStore,
    janitor: Janitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = store_context.done()
    all_due(store_context)

    def away(_prefix: str) -> int:
        raise StorageUnavailable("away")

    monkeypatch.setattr(files, "delete_prefix", away)
    janitor.clean()

    assert store_context.store.cleanups() == []
    cleanups = store_context.client.zrange(store_context.key("chores"), 0, -1)
    assert [str(one).split(":")[0] for one in cleanups] == ["record"]
    assert job_id in str(cleanups)


@pytest.fixture
def runtime(
    settings: Settings, store_context: StoreContext, files: BlobStore
) -> Runtime:
    store_context.store.check_server = lambda: None  # type: ignore[method-assign]
    return Runtime(
        settings=settings, store=store_context.store, blobs=files, dispatcher=Broker()
    )


def run(runtime: Runtime, until: Callable[[], bool]) -> None:
    """Run the maintenance in a thread until something holds; raise what it raised."""
    stop, raised = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            Maintenance(runtime).run(stop)
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + WAIT_SECONDS
    while not until() and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    if raised:
        raise raised[0]


@pytest.fixture
def quick(
    monkeypatch: pytest.MonkeyPatch, runtime: Runtime, uploads: Uploads
) -> Runtime:
    lease = runtime.settings.lease.model_copy(update={"sweep_seconds": 0.02})
    chosen = runtime.settings.model_copy(update={"lease": lease})
    monkeypatch.setattr(process.Uploads, "connect", lambda *_: uploads)
    return replace(runtime, settings=chosen)


def test_a_store_outage_is_lived_through(
    quick: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = quick.store.reap, list[str]()

    def reap(limit: int, backlog: dict[str, int] | None) -> Reaped:
        calls.append("away" if len(calls) < 3 else "back")
        if calls[-1] == "away":
            raise StoreUnavailable("away")
        return real(limit, backlog)

    monkeypatch.setattr(quick.store, "reap", reap)
    run(quick, until=lambda: "back" in calls)
    assert calls[:4] == ["away"] * 3 + ["back"]


def test_a_defect_of_the_janitor_ends_the_process(
    quick: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_limit: int) -> list[Any]:
        raise KeyError("defect")

    monkeypatch.setattr(quick.store, "cleanups", broken)
    with pytest.raises(KeyError):
        run(quick, until=lambda: False)


def test_the_process_waits_for_its_store_and_stops_when_told(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    env = {
        **os.environ,
        "FRAMEMILL_STORE_URL": f"{url}/0",
        "FRAMEMILL_BROKER_URL": f"{url}/1",
        "FRAMEMILL_STORE_TIMEOUT_SECONDS": "1",
        "FRAMEMILL_BLOBS_PATH": str(tmp_path / "blobs"),
        "FRAMEMILL_LEASE_SWEEP_SECONDS": "0.2",
        "FRAMEMILL_LOG_QUEUES_SECONDS": "0.2",
        "FRAMEMILL_API_SECRET": "x" * 32,
    }
    log_path = tmp_path / "maintenance.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.maintenance"],
            cwd=ROOT,
            env=env,
            stderr=log,
        )
    try:
        until(lambda: "store_away" in log_path.read_text("utf-8"))
        with valkey.running(tmp_path, port=port):
            settings = Settings.model_validate({"store": {"url": f"{url}/0"}})
            client = open_client(settings)
            store_context = StoreContext(JobStore(settings, client), client)
            task = f"{store_context.accept()}:prepare"
            store_context.make_due(task, "pending:fast")
            broker = redis.Redis(port=port, db=1)

            until(lambda: task.encode() in first_message(broker))

            reaper_age = store_context.store.stats().reaper_seconds
            assert reaper_age is not None
            until(lambda: '"ready": 1' in log_path.read_text("utf-8"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_SECONDS) == 0
    finally:
        process.kill()
        process.wait(60)
    assert "maintenance.stopped" in log_path.read_text("utf-8")
    lines = [json.loads(line) for line in log_path.read_text("utf-8").splitlines()]
    states = [line for line in lines if line["event"] == "queue.state"]
    assert {one["queue"] for one in states if one["ready"] == 1} == {"fast"}


def first_message(broker: redis.Redis) -> bytes:
    """Return the first message of the queue, its body decoded."""
    found: Any = broker.lindex("fast", 0)
    return base64.b64decode(json.loads(found)["body"]) if found else b""


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
