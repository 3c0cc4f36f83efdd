"""What differs between the servers that can carry our messages.

The scheme of ``FRAMEMILL_BROKER_URL`` names the server, and kombu speaks to it. This
module has what a connection of each is made with, how many messages wait in a queue,
and whether the server takes more. :mod:`common.settings.addresses` lists the schemes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from kombu.connection import Connection
from kombu.exceptions import OperationalError

from common.errors import Unavailable
from common.redis import server
from common.settings.addresses import broker_kind
from common.settings.load import Settings

Role = Literal["worker", "client"]

# No queue has this name, and no key: what is written to it changes nothing.
_NOWHERE = "framemill:room"


class _Patience(NamedTuple):
    """How many seconds a process waits for a connection, and for an answer."""

    connect: int
    answer: int


def configuration(settings: Settings, role: Role) -> dict[str, Any]:
    """Return the settings of Celery that depend on the kind of broker.

    A client answers requests: it waits for seconds at most, and the reaper sends what
    it could not.
    """
    kind = broker_kind(settings.broker.url)
    options: dict[str, Any] = {}
    patience = _Patience(3, 10) if role == "worker" else _Patience(1, 2)
    if kind == "redis":
        options = _redis_options(settings, patience)
    elif kind == "amqp":
        options = _amqp_options(patience)
    if role == "client":
        # kombu would wait for seconds between its tries.
        options |= {"max_retries": 1, "interval_start": 0}
    return {
        "broker_transport_options": options,
        # Celery has it for Redis alone. RabbitMQ delivers as many messages as there
        # are slots, since a message is acknowledged when its task has ended.
        "worker_disable_prefetch": kind == "redis",
    }


def _redis_options(settings: Settings, patience: _Patience) -> dict[str, Any]:
    return {
        "visibility_timeout": max(3600, 3 * settings.engine.hard_seconds),
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "socket_timeout": patience.answer,
        "socket_connect_timeout": patience.connect,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # kombu's 10 are fewer than the API has threads.
        "max_connections": settings.api.threads + 16,
        # These two matter to a URL of Sentinels alone.
        "master_name": settings.broker.master,
        "sentinel_kwargs": {
            "password": settings.broker.sentinel_password,
            "socket_timeout": patience.answer,
            "socket_connect_timeout": patience.connect,
        },
    }


def _amqp_options(patience: _Patience) -> dict[str, Any]:
    # Without a confirmation, a message written to a connection that has died is lost
    # unseen. A server without memory or disk reads no further, so waiting has an end.
    return {
        "confirm_publish": True,
        "connect_timeout": patience.connect,
        "read_timeout": patience.answer,
        "write_timeout": patience.answer,
    }


def lengths(connection: Connection, queues: tuple[str, ...]) -> dict[str, int]:
    """Return how many messages wait in each queue; a queue that is missing is made.

    Raises Unavailable when the broker is away.
    """
    with _channel(connection) as channel:
        return {
            name: channel.queue_declare(
                queue=name, durable=True, auto_delete=False
            ).message_count
            for name in queues
        }


def check(connection: Connection) -> None:
    """Check that the broker takes messages and keeps them, by a write without effect.

    Raises Unavailable when it is away or refuses to write, SettingsError when it is a
    Redis server that evicts.
    """
    with _channel(connection) as channel:
        if connection.transport.driver_type == "redis":
            server.check_writes(channel.client, server.BROKER, _NOWHERE)
        elif connection.transport.driver_type == "amqp":
            # RabbitMQ drops what goes to no queue, and confirms it. While it blocks
            # publishers, it takes the first message of a connection even so.
            for _ in range(2):
                channel.basic_publish(channel.prepare_message(b""), "", _NOWHERE)


@contextmanager
def _channel(connection: Connection) -> Iterator[Any]:
    try:
        yield connection.default_channel
    except (OperationalError, *connection.connection_errors) as error:
        raise Unavailable("the broker did not answer") from error
