"""One runner for every kind of task: its heartbeat, its end, its report."""

from __future__ import annotations

import threading
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import NoReturn

import pytest
import structlog.testing

from common.errors import (
    DecodeError,
    DiskFull,
    ReceiverError,
    StorageUnavailable,
    StoreUnavailable,
)
from common.jobs.store import Outcome
from tests.worker.context import accept_job, make_context, make_runtime
from worker.lease import Attempt, run

HOOK = {"id": "s1", "type": "webhook", "url": "https://a.test", "events": []}


def test_an_attempt_without_files_makes_no_folder(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    job = accept_job(runtime)

    def work(attempt: Attempt) -> Outcome:
        return runtime.store.release(attempt.claim, "defer")

    run(make_context(runtime), f"{job}:prepare", "task", work)
    assert not (tmp_path / "scratch").exists()


def test_the_folder_goes_with_the_attempt(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    job = accept_job(runtime)
    folders = []

    def work(attempt: Attempt) -> Outcome:
        assert attempt.folder == attempt.folder
        (attempt.folder / "frame.png").write_bytes(b"x")
        folders.append(attempt.folder)
        raise DecodeError("no frame")

    run(make_context(runtime), f"{job}:prepare", "task", work)
    (folder,) = folders
    assert folder.parent == tmp_path / "scratch" / "attempts"
    assert list(folder.parent.iterdir()) == []


def test_a_disk_without_room_for_the_folder_costs_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make_runtime(tmp_path)
    job = accept_job(runtime)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def work(attempt: Attempt) -> Outcome:
        raise AssertionError(attempt.folder)

    monkeypatch.setattr(Path, "mkdir", refuse)
    run(make_context(runtime), f"{job}:prepare", "task", work)
    record = runtime.store.get(job)
    assert record is not None
    assert record.waiting is not None
    assert record.waiting.error.code == DiskFull.code


@pytest.mark.parametrize("task", ["prepare", "n:1"])
def test_every_kind_of_task_keeps_its_lease(tmp_path: Path, task: str) -> None:
    runtime = make_runtime(tmp_path, lease={"beat_seconds": 0.1, "seconds": 60})
    job = accept_job(runtime, HOOK)
    leased = f"{runtime.store._prefix}leased"

    def lease_end() -> float:
        return runtime.store._client.zscore(leased, f"{job}:{task}") or 0.0

    def work(attempt: Attempt) -> Outcome:
        first, deadline = lease_end(), time.monotonic() + 10
        while lease_end() == first:
            assert time.monotonic() < deadline, "the lease was not extended"
            time.sleep(0.01)
        return runtime.store.release(attempt.claim, "fatal")

    run(make_context(runtime), f"{job}:{task}", "task", work)
    assert lease_end() == 0.0


def test_a_heartbeat_that_is_missed_names_its_attempt_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make_runtime(tmp_path, lease={"beat_seconds": 0.1, "seconds": 60})
    job = accept_job(runtime)
    lines: list[MutableMapping[str, object]] = []
    missed = threading.Event()

    def keep(_: object, name: str, line: MutableMapping[str, object]) -> NoReturn:
        lines.append(line)
        if line["event"] == "heartbeat.missed":
            missed.set()
        raise structlog.DropEvent

    def refuse(*_: object) -> None:
        raise StoreUnavailable("the store is away")

    def work(attempt: Attempt) -> Outcome:
        assert missed.wait(60)
        return runtime.store.release(attempt.claim, "fatal")

    monkeypatch.setattr(runtime.store, "beat", refuse)
    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    try:
        run(make_context(runtime), f"{job}:prepare", "task", work)
    finally:
        structlog.configure(**before)

    line = next(one for one in lines if one["event"] == "heartbeat.missed")
    assert (line["job"], line["task"]) == (job, f"{job}:prepare")


def test_a_cancel_takes_effect_within_ten_seconds(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    job = accept_job(runtime)
    stopped: list[float] = []

    def work(attempt: Attempt) -> Outcome:
        runtime.store.cancel(job)
        began = time.monotonic()
        try:
            while time.monotonic() - began < 60:
                attempt.check()
                time.sleep(0.01)
        finally:
            stopped.append(time.monotonic() - began)
        raise AssertionError("the work was never told")

    run(make_context(runtime), f"{job}:prepare", "task", work)

    assert stopped[0] < 10
    record = runtime.store.get(job)
    assert record is not None
    assert record.status == "cancelled"


def test_storage_that_is_away_delays_a_delivery_but_no_other_work(
    tmp_path: Path,
) -> None:
    runtime = make_runtime(tmp_path)
    job = accept_job(runtime, HOOK)

    def work(attempt: Attempt) -> Outcome:
        attempt.label = "email"
        raise StorageUnavailable("the picture cannot be read")

    run(make_context(runtime), f"{job}:n:1", "task", work)
    delivery = runtime.store.delivery(f"{job}:n:1")
    assert delivery is not None
    (report,) = delivery.attempts
    assert (report["rung"], report["worker"]) == ("email", "tester")
    assert report["error"]["code"] == StorageUnavailable.code
    assert delivery.state == "queued"
    assert runtime.store.stats().away == []


def test_a_delivery_that_fails_is_a_warning_in_the_log(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    job = accept_job(runtime, HOOK)

    def work(attempt: Attempt) -> Outcome:
        attempt.label = "webhook"
        raise ReceiverError("the receiver answered 500")

    with structlog.testing.capture_logs() as lines:
        run(make_context(runtime), f"{job}:n:1", "task", work)

    (line,) = [one for one in lines if one["event"] == "task.released"]
    assert line["log_level"] == "warning"
