"""The job store on a fake server, on a real one, and with every script sent twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
import redis

from common.jobs.store import JobStore
from common.redis.client import open_client
from tests.common import valkey
from tests.common.jobs.store.context import StoreContext, TwiceStore, make_settings

_PREFIXES = (f"t{number}:" for number in itertools.count(1))


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey.running(tmp_path_factory.mktemp("valkey")) as (url, _):
        yield url


@pytest.fixture(params=["fake", "valkey", "valkey-twice"])
def make_store_context(
    request: pytest.FixtureRequest, valkey_url: str
) -> Iterator[Callable[..., StoreContext]]:
    """Make contexts over one server; keywords are sections of the settings."""
    clients: list[redis.Redis] = []

    def make(**sections: Any) -> StoreContext:
        settings = make_settings(next(_PREFIXES), valkey_url, **sections)
        client = (
            fakeredis.FakeRedis(decode_responses=True)
            if request.param == "fake"
            else open_client(settings)
        )
        clients.append(client)
        kind = TwiceStore if request.param == "valkey-twice" else JobStore
        return StoreContext(kind(settings, client), client)

    yield make
    for client in clients:
        client.flushdb()
        client.close()


@pytest.fixture
def store_context(make_store_context: Callable[..., StoreContext]) -> StoreContext:
    return make_store_context()
