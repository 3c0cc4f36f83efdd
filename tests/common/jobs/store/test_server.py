"""The server under the job store: away, stalled, or full."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fakeredis
import pytest

from common.errors import StoreUnavailable
from common.jobs.store import Accepted, Full, JobStore, NewJob, NewOutput
from common.model import Source
from common.redis.client import open_client
from tests.common import valkey
from tests.common.jobs.store.context import StoreContext, make_settings
from tests.ports import free_port
from tests.timing import quickest


def connect(url: str, timeout: float = 20.0) -> StoreContext:
    settings = make_settings("s:", url)
    settings = settings.model_copy(
        update={"store": settings.store.model_copy(update={"timeout_seconds": timeout})}
    )
    client = open_client(settings)
    return StoreContext(JobStore(settings, client), client)


def test_a_server_that_is_away_is_unavailable_soon() -> None:
    store = connect(f"redis://127.0.0.1:{free_port()}/0").store
    for call in (store.ping, store.stats, lambda: store.wait("f" * 32, 60)):

        def refused(call: Callable[[], object] = call) -> None:
            with pytest.raises(StoreUnavailable):
                call()

        assert quickest(refused) < 2


def test_a_stalled_server_changes_a_job_once(tmp_path: Path) -> None:
    with valkey.running(tmp_path) as (url, server):
        store_context, hasty = connect(url), connect(url, timeout=0.3)
        job_id = store_context.opened()
        claim = store_context.claim(f"{job_id}:o:poster")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                hasty.store.release(claim, "refund")
        finally:
            os.kill(server.pid, signal.SIGCONT)

        # the stalled server runs what was sent, and the worker tries again
        assert store_context.store.release(claim, "refund").applied

        assert store_context.events(job_id).count("output.requeued") == 1
        assert store_context.store.stats().counters["refunded"] == 1


def test_jobs_outlive_a_killed_server_and_its_script_cache(tmp_path: Path) -> None:
    port = free_port()
    options = ("--appendonly", "yes", "--appendfsync", "always")
    first = valkey.start(tmp_path, port, *options)
    store_context = connect(f"redis://127.0.0.1:{port}/0")
    job_id = store_context.opened()
    first.kill()
    first.wait(60)
    with pytest.raises(StoreUnavailable):
        store_context.store.get(job_id)

    second = valkey.start(tmp_path, port, *options)
    try:
        store_context.make(f"{job_id}:o:poster")
        assert store_context.status(job_id) == "completed"
    finally:
        second.kill()
        second.wait(60)


def test_a_full_server_takes_no_job_and_keeps_the_others(tmp_path: Path) -> None:
    with valkey.running(tmp_path) as (url, _):
        store_context = connect(url)
        kept = store_context.accept()
        store_context.client.config_set("maxmemory", 1)

        new = store_context.new_job()
        with pytest.raises(StoreUnavailable):
            store_context.store.accept(new)

        store_context.client.config_set("maxmemory", 0)
        assert store_context.store.get(new.id) is None
        assert store_context.status(kept) == "accepted"


def test_a_server_that_is_nearly_full_takes_no_job_and_ends_those_it_has(
    tmp_path: Path,
) -> None:
    with valkey.running(tmp_path) as (url, _):
        store_context = connect(url)
        known = store_context.new_job()
        store_context.store.accept(known)
        kept = store_context.opened()
        store_context.client.setrange("filler", 20_000_000, "x")
        used = store_context.client.info("memory")["used_memory"]
        store_context.client.config_set("maxmemory", round(used / 0.95))
        fresh = connect(url)

        assert fresh.store.accept(fresh.new_job()) == Full("memory")
        assert fresh.store.accept(known) == Accepted(known.id, False, [])
        with pytest.raises(StoreUnavailable, match="FRAMEMILL_LIMITS_STORE_PERCENT"):
            fresh.store.check_writes()
        fresh.make(f"{kept}:o:poster")
        assert fresh.status(kept) == "completed"

        store_context.client.config_set("maxmemory", round(used / 0.5))
        assert isinstance(connect(url).store.accept(fresh.new_job()), Accepted)


def test_many_jobs_at_once_ask_for_the_memory_once(tmp_path: Path) -> None:
    with valkey.running(tmp_path) as (url, _):
        store_context = connect(url)
        store_context.accept()

        def info_calls() -> int:
            return int(
                store_context.client.info("commandstats")["cmdstat_info"]["calls"]
            )

        before = info_calls()
        store_context.store._memory_until = 0.0
        start = threading.Barrier(20)

        def accept(_: int) -> object:
            start.wait(60)
            return store_context.store.accept(store_context.new_job())

        with ThreadPoolExecutor(20) as pool:
            accepted = list(pool.map(accept, range(20)))

        assert all(isinstance(one, Accepted) for one in accepted)
        # One is info_calls() itself; two threads may read the clock at one moment.
        assert 2 <= info_calls() - before <= 4


def test_a_job_needs_an_output() -> None:
    store = JobStore(make_settings("s:"), fakeredis.FakeRedis(decode_responses=True))
    new = NewJob("0" * 32, "", Source(kind="upload", key="k"), list[NewOutput]())
    with pytest.raises(ValueError, match="output"):
        store.accept(new)
