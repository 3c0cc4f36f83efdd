"""URLs of the servers for messages and records: which there are, and their faults."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, Field

BrokerKind = Literal["redis", "amqp", "memory"]

# memory:// is a broker within one process, for tests.
_BROKERS: Mapping[str, BrokerKind] = {
    "redis": "redis",
    "rediss": "redis",
    "redis+socket": "redis",
    "sentinel": "redis",
    "amqp": "amqp",
    "amqps": "amqp",
    "memory": "memory",
}
_STORES = ("redis", "rediss", "sentinel", "unix")
_HOSTLESS = ("redis+socket", "unix", "memory")
_MANY = ("sentinel", "amqp", "amqps")
_NUMBERED = ("redis", "rediss", "sentinel")
_SENTINEL_PORT = 26379
_EXAMPLES = {
    "redis": "redis://:PASSWORD@HOST:6379/0",
    "rediss": "rediss://:PASSWORD@HOST:6379/0",
    "sentinel": "sentinel://:PASSWORD@HOST:26379/0;sentinel://:PASSWORD@HOST2:26379/0",
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


class Sentinels(NamedTuple):
    """Where Sentinels are, and what the servers that they name want of a client."""

    places: list[tuple[str, int]]
    username: str | None
    password: str | None
    database: int


def read_sentinels(url: str) -> Sentinels | None:
    """Return what the URLs of Sentinels say; None for a URL of the server itself."""
    every = [urlsplit(one) for one in url.split(";")]
    first = every[0]
    if first.scheme != "sentinel":
        return None
    return Sentinels(
        [(one.hostname or "", one.port or _SENTINEL_PORT) for one in every],
        unquote(first.username) if first.username else None,
        unquote(first.password) if first.password else None,
        int(first.path.strip("/") or 0),
    )


def _check_broker(url: str) -> str:
    return _check(url, tuple(_BROKERS))


def _check_store(url: str) -> str:
    return _check(url, _STORES)


def _check(url: str, schemes: tuple[str, ...]) -> str:
    """Return the URL, or URLs; raises ValueError, without a password in its text."""
    every = [_parts(one, schemes) for one in url.split(";")]
    scheme = every[0].scheme
    if len({one.scheme for one in every}) > 1:
        raise ValueError("the URLs have different schemes; all of them name one server")
    if scheme == "sentinel" and len({_access(one) for one in every}) > 1:
        # kombu takes these from whichever URL it uses at the moment.
        raise ValueError(
            "the URLs of the Sentinels differ in user, password or database, which are "
            f"those of the server behind them; write {_EXAMPLES[scheme]}"
        )
    if len(every) > 1 and scheme not in _MANY:
        raise ValueError(f"it is one URL, without ';'; write {_EXAMPLES['redis']}")
    return url


def _access(parts: SplitResult) -> tuple[str, str]:
    return parts.netloc.rpartition("@")[0], parts.path.strip("/")


def _parts(url: str, schemes: tuple[str, ...]) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        # Python's text may contain the password, if that has a slash or a bracket.
        raise ValueError(
            "the URL cannot be read: its port must be a number from 1 to 65535, and "
            "characters such as / : ; @ [ ] # ? in a password are written in percent, "
            "for example %2F for /"
        ) from error
    scheme = parts.scheme
    if scheme not in schemes:
        raise ValueError(_unknown(scheme, schemes))
    if port == 0 or (scheme not in _HOSTLESS and not parts.hostname):
        raise ValueError(
            f"the URL names no host that could be reached; write {_EXAMPLES[scheme]}"
        )
    if scheme in _NUMBERED:
        _check_database(parts)
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
MasterName = Annotated[
    str,
    Field(min_length=1, description="The name that Sentinels have for the server."),
]
SentinelPassword = Annotated[
    str | None,
    Field(description="What Sentinels themselves want; default: none."),
]
