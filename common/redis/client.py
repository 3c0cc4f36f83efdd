"""The one way to open a client of the job store's server.

Everything in one process that uses the same settings shares one pool, so the number
of connections follows the number of threads that wait for an answer at the same time.
"""

from __future__ import annotations

import functools
import os

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from common.settings.addresses import read_sentinels
from common.settings.load import Settings
from common.settings.sections import Store

# A thread holds one connection while it waits for an answer. The settings bound the
# threads, so this bounds nothing more: redis-py's own limit, 100, would be below them.
_MAX_CONNECTIONS = 100_000


def open_client(settings: Settings) -> redis.Redis:
    """Return a client; it connects on first use and decodes answers to text.

    A call whose connection broke, as that of an idle client does when the server was
    started again, is sent once more. So whatever it sends must bear being sent twice:
    the first may have been executed. A call without an answer within
    ``store.timeout_seconds`` raises then and is not sent again: redis-py would repeat
    the handshake of its new connection as well, and multiply the time.
    """
    return redis.Redis(connection_pool=_pool(settings.store, os.getpid()))


# A child process gets a pool of its own (``_pid``): no socket or lock crosses a fork.
@functools.lru_cache(maxsize=16)
def _pool(store: Store, _pid: int) -> redis.ConnectionPool:
    seconds = store.timeout_seconds
    waiting = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    options = waiting | {
        "max_connections": _MAX_CONNECTIONS,
        "decode_responses": True,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry": Retry(
            ExponentialBackoff(cap=0.5, base=0.05),
            1,
            supported_errors=(redis.ConnectionError,),
        ),
    }
    behind = read_sentinels(store.url)
    if behind is None:
        return redis.ConnectionPool.from_url(store.url, **options)
    # Each new connection asks the Sentinels which server is the primary now.
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        behind.places,
        sentinel_kwargs=waiting | {"password": store.sentinel_password},
    )
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        store.master,
        sentinels,
        username=behind.username,
        password=behind.password,
        db=behind.database,
        **options,
    )
