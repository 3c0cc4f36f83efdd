"""The one client factory: one pool a process, one retry policy."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import redis
from redis.exceptions import TimeoutError as RedisTimeout

from api.app import create_app
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


def test_a_call_is_sent_twice_at_most() -> None:
    client = open_client(Settings(store={"url": "redis://127.0.0.1:1/0"}))
    sent = []

    def fail() -> None:
        sent.append(1)
        raise RedisTimeout

    retry = client.connection_pool.connection_kwargs["retry"]
    with pytest.raises(RedisTimeout):
        retry.call_with_retry(fail, lambda _error: None)
    assert len(sent) == 2
