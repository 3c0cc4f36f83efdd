"""URLs of the servers for messages and records: which there are, and their faults."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

BrokerKind = Literal["redis", "amqp", "memory"]

# memory:// is a broker within one process, for tests.
_BROKERS: Mapping[str, BrokerKind] = {
    "redis": "redis",
    "rediss": "redis",
    "redis+socket": "redis",
    "amqp": "amqp",
    "amqps": "amqp",
    "memory": "memory",
}
_STORES = ("redis", "rediss", "unix")
_HOSTLESS = ("redis+socket", "unix", "memory")
_EXAMPLES = {
    "redis": "redis://:PASSWORD@HOST:6379/0",
    "rediss": "rediss://:PASSWORD@HOST:6379/0",
    "amqp": "amqp://USER:PASSWORD@HOST:5672/VHOST",
    "amqps": "amqps://USER:PASSWORD@HOST:5671/VHOST",
}
# What people write for them.
_MEANT = {
    "rabbitmq": "amqp",
    "rabbit": "amqp",
    "pyamqp": "amqp",
    "valkey": "redis",
    "valkeys": "rediss",
}


def broker_kind(url: str) -> BrokerKind:
    """Return which kind of server a broker's URL names; raises KeyError for none."""
    return _BROKERS[urlsplit(url).scheme]


def _check_broker(url: str) -> str:
    parts = _check(url, tuple(_BROKERS))
    if parts.scheme in {"redis", "rediss"}:
        _check_database(parts)
    return url


def _check_store(url: str) -> str:
    parts = _check(url, _STORES)
    if parts.scheme in {"redis", "rediss"}:
        _check_database(parts)
    return url


def _check(url: str, schemes: tuple[str, ...]) -> SplitResult:
    """Return the parts of a URL; raises ValueError, without a password in its text."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        # Python's text may contain the password, if that has a slash or a bracket.
        raise ValueError(
            "the URL cannot be read: its port must be a number from 1 to 65535, and "
            "characters such as / : @ [ ] # ? in a password are written in percent, "
            "for example %2F for /"
        ) from error
    scheme = parts.scheme
    if scheme not in schemes:
        raise ValueError(_unknown(scheme, schemes))
    if port == 0 or (scheme not in _HOSTLESS and not parts.hostname):
        raise ValueError(
            f"the URL names no host that could be reached; write {_EXAMPLES[scheme]}"
        )
    return parts


def _unknown(scheme: str, schemes: tuple[str, ...]) -> str:
    shown = [name for name in schemes if name in _EXAMPLES]
    near = _MEANT.get(scheme) or next(
        iter(difflib.get_close_matches(scheme, shown, n=1)), None
    )
    begins = f"begins with {scheme}://" if scheme else "has no scheme"
    example = _EXAMPLES[near if near in shown else "redis"]
    known = ", ".join(f"{name}://" for name in shown)
    return f"the URL {begins}; it may be {known}; write {example}"


def _check_database(parts: SplitResult) -> None:
    database = parts.path.strip("/")
    if database and not database.isdecimal():
        raise ValueError(
            "what follows the host is the number of a database, not a name; write "
            f"{_EXAMPLES[parts.scheme]}"
        )


BrokerUrl = Annotated[str, AfterValidator(_check_broker)]
StoreUrl = Annotated[str, AfterValidator(_check_store)]
