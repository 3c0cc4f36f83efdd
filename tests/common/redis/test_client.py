"""The one client factory: one pool a process, one retry policy."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.exceptions import TimeoutError as RedisTimeout

from api.app import create_app
from common.jobs.store import JobStore
from common.redis.client import open_client
from common.runtime import build_runtime
from common.settings.load import Settings
from tests.common import valkey


def test_the_parts_of_a_process_share_one_pool(tmp_path: Path) -> None:
    with valkey.running(tmp_path) as (url, _):
        settings = Settings(
            store={"url": url},
            broker={"url": "memory://"},
            blobs={"path": tmp_path / "blobs"},
            api={"secret": "s" * 32},
        )
        client = create_app(build_runtime(settings)).test_client()
        for address in ("/readyz", "/v1/jobs", "/v1/uploads/0"):
            client.get(address, headers={"Authorization": "Bearer fm_none"})
        ours = redis.Redis.from_url(url, decode_responses=True)
        peers = [one for one in ours.client_list() if one["cmd"] != "client|list"]
        assert len(peers) == 1


def test_stores_and_timeouts_have_pools_of_their_own() -> None:
    one, same, other, hasty = (
        open_client(Settings(store={"url": url, "timeout_seconds": seconds}))
        for url, seconds in [
            ("redis://127.0.0.1:1/0", 5),
            ("redis://127.0.0.1:1/0", 5),
            ("redis://127.0.0.1:2/0", 5),
            ("redis://127.0.0.1:1/0", 1),
        ]
    )
    assert one.connection_pool is same.connection_pool
    assert one.connection_pool is not other.connection_pool
    assert one.connection_pool is not hasty.connection_pool


def test_a_forked_process_has_a_pool_of_its_own() -> None:
    settings = Settings(store={"url": "redis://127.0.0.1:1/0"})
    ours = open_client(settings).connection_pool
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()

    def child() -> None:
        answer.put(open_client(settings).connection_pool is ours)

    process = context.Process(target=child)
    process.start()
    process.join(60)
    assert answer.get() is False


@pytest.mark.parametrize(
    ("error", "times"), [(redis.ConnectionError, 2), (RedisTimeout, 1)]
)
def test_a_call_is_sent_again_once_and_only_after_a_broken_connection(
    error: type[Exception], times: int
) -> None:
    client = open_client(Settings(store={"url": "redis://127.0.0.1:1/0"}))
    sent = []

    def fail() -> None:
        sent.append(1)
        raise error

    retry = client.connection_pool.connection_kwargs["retry"]
    with pytest.raises(error):
        retry.call_with_retry(fail, lambda _error: None)
    assert len(sent) == times


def unhealthy(client: redis.Redis) -> None:
    """Have a pooled connection checked before its next use."""
    connection = client.connection_pool.get_connection()
    connection.next_health_check = 0
    client.connection_pool.release(connection)


@pytest.mark.parametrize(
    "before",
    [redis.Redis.ping, unhealthy, lambda _client: None],
    ids=["used", "idle", "new"],
)
def test_a_server_that_accepts_and_does_not_answer_is_given_up_in_time(
    tmp_path: Path, before: Callable[[redis.Redis], object]
) -> None:
    with valkey.running(tmp_path) as (url, server):
        settings = Settings(store={"url": url})
        client = open_client(settings)
        before(client)
        server.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(RedisTimeout):
                client.incr("count")
            took = time.monotonic() - began
        finally:
            server.send_signal(signal.SIGCONT)
        # Twice the timeout would be a second try, or a second wait for a handshake.
        assert took < 2 * settings.store.timeout_seconds

        # What waited in the server's socket is done once at most, and calls go on.
        assert int(client.get("count") or 0) <= 1
        assert client.incr("other") == 1


def test_a_connection_that_the_server_closed_is_opened_again(tmp_path: Path) -> None:
    with valkey.running(tmp_path) as (url, _):
        client = open_client(Settings(store={"url": url}))
        client.ping()
        other = redis.Redis.from_url(url)
        other.client_kill_filter(skipme=True, _type="normal")
        assert client.incr("count") == 1


def test_a_blocking_read_ends_before_its_timeout(tmp_path: Path) -> None:
    with valkey.running(tmp_path) as (url, _):
        settings = Settings(store={"url": url, "timeout_seconds": 0.4})
        store = JobStore.connect(settings)
        assert store.news({"0" * 32: "0-0"}, 1, seconds=60) == {}
