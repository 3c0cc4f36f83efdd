"""What the job store needs of its server, checked once when a process starts."""

from __future__ import annotations

from typing import cast

import redis
import structlog

from common.redis.errors import mapped
from common.settings.load import SettingsError

log = structlog.get_logger(__name__)

# The oldest that the client library supports; Valkey calls itself Redis 7.2.
LEAST_VERSION = (7, 2)


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
    policy = memory.get("maxmemory_policy") or _configured_policy(client)
    if policy is None:
        log.warning("store.policy_unknown", needed="maxmemory-policy noeviction")
    elif policy != "noeviction":
        raise SettingsError(
            f"FRAMEMILL_STORE_URL: the server's maxmemory-policy is {policy!r}, "
            "which deletes jobs when memory is full; set it to 'noeviction'"
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
