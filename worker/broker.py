"""Take messages from a Redis broker, and drop what is no message.

kombu raises an error for an item that it cannot read, and Celery's main process ends by
it. But an item that anybody else puts into the list must not end a worker. What is lost
with it is nothing: each message of ours is only a hint, and the reaper sends another.
"""

from __future__ import annotations

from base64 import b64decode
from json import JSONDecodeError
from queue import Empty
from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis

log = structlog.get_logger(__name__)

_UNREADABLE = (JSONDecodeError, UnicodeDecodeError)


class _Reading:
    """What is added to a channel: the item that cannot be read is passed over."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except _UNREADABLE as error:
            log.warning("queue.message_dropped", error=repr(error))
            raise Empty from error


class _Delivering:
    """What is added to a transport: JSON that is no message is passed over."""

    def _deliver(self, message: Any, queue: str) -> None:
        if _is_message(message):
            super()._deliver(message, queue)  # type: ignore[misc]
        else:
            log.warning("queue.message_dropped", queue=queue, error="it is no message")


class Channel(_Reading, redis.Channel):
    """A channel of a single server."""


class Transport(_Delivering, redis.Transport):
    """The transport of a single server."""

    Channel = Channel


class SentinelChannel(_Reading, redis.SentinelChannel):
    """A channel of a server that Sentinel names."""


class SentinelTransport(_Delivering, redis.SentinelTransport):
    """The transport of a server that Sentinel names."""

    Channel = SentinelChannel


def use() -> None:
    """Have the connections of this process made by these transports."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"


def _is_message(message: Any) -> bool:
    """Return whether a message has what kombu and we read of one without asking."""
    properties = message.get("properties") if isinstance(message, dict) else None
    if not isinstance(properties, dict) or "delivery_tag" not in properties:
        return False
    route, body = properties.get("delivery_info"), message.get("body")
    known = isinstance(route, dict) and isinstance(route.get("routing_key"), str)
    if not known or not isinstance(body, str):
        return False
    try:
        b64decode(body if properties.get("body_encoding") == "base64" else "")
    except ValueError:
        return False
    return True
