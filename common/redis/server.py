"""What the job store and the broker need of their servers.

All of it is checked when a process starts. Room and policy may change while it runs, so
``/readyz`` asks for them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import redis
import structlog

from common.redis.errors import mapped
from common.settings.load import SettingsError

log = structlog.get_logger(__name__)

# The oldest that the client library supports; Valkey calls itself Redis 7.2.
LEAST_VERSION = (7, 2)


@dataclass(frozen=True)
class Role:
    """What a server is to us: its setting, its name in texts, and what it holds."""

    variable: str
    name: str
    holds: str


STORE = Role("FRAMEMILL_STORE_URL", "the job store", "jobs")
BROKER = Role("FRAMEMILL_BROKER_URL", "the broker", "messages")


def check_server(client: redis.Redis) -> None:
    """Refuse a server that would lose jobs or cannot run the scripts.

    Raises SettingsError for one older than LEAST_VERSION, for a cluster and for one
    that evicts keys; StoreUnavailable when it does not answer. Where the server hides
    its eviction policy, the log gets a warning.
    """
    with mapped():
        facts = client.info("server")
        memory = client.info("memory")
        cluster = client.info("cluster")
    _check_version(str(facts.get("redis_version", "0")))
    if cluster.get("cluster_enabled") or "cluster" in {
        facts.get("redis_mode"),
        facts.get("server_mode"),
    }:
        raise SettingsError(
            "FRAMEMILL_STORE_URL: the server is part of a cluster; the job store needs "
            "one primary that holds all keys, since each of its scripts writes a job, "
            "its indexes, quotas and Idempotency-Keys in one call. Name a server with "
            "cluster mode off"
        )
    _check_policy(client, STORE, memory)


def check_writes(client: redis.Redis, role: Role, key: str) -> None:
    """Raise StoreUnavailable or SettingsError if nothing should be written now.

    The server does not answer; or it refuses to write, since its memory or its disk is
    full or it is a replica; or it evicts keys. ``key`` is not made: to set an empty
    text in a key that is not there is a write, but changes nothing.
    """
    with mapped(role.name):
        memory = client.info("memory")
        client.setrange(key, 0, "")
    _check_policy(client, role, memory)


def memory_share(client: redis.Redis) -> float | None:
    """Return which share of its memory the server has taken; 0 if it has no limit.

    None where the server does not tell this user.
    """
    try:
        with mapped():
            facts = client.info("memory")
    except redis.ResponseError as error:
        log.warning("store.memory_unknown", error=str(error))
        return None
    most = int(facts.get("maxmemory", 0))
    return int(facts.get("used_memory", 0)) / most if most else 0.0


def _check_policy(client: redis.Redis, role: Role, memory: dict[str, Any]) -> None:
    policy = memory.get("maxmemory_policy") or _configured_policy(client)
    if policy is None:
        log.warning("store.policy_unknown", needed="maxmemory-policy noeviction")
    elif policy != "noeviction":
        raise SettingsError(
            f"{role.variable}: the server's maxmemory-policy is {policy!r}, "
            f"which deletes {role.holds} when memory is full; set it to 'noeviction'"
        )


def _check_version(version: str) -> None:
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_VERSION:
        least = ".".join(str(part) for part in LEAST_VERSION)
        raise SettingsError(
            f"FRAMEMILL_STORE_URL: the server is Redis {version}; Redis {least} or "
            "newer, or Valkey, is needed"
        )


def _configured_policy(client: redis.Redis) -> str | None:
    try:
        with mapped():
            kept = cast("dict[str, str]", client.config_get("maxmemory-policy"))
    except redis.ResponseError as error:
        log.warning("store.config_forbidden", error=str(error))
        return None
    return kept.get("maxmemory-policy")
