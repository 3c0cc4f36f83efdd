"""Calls the job store's scripts: their files, their configuration, their answers."""

from __future__ import annotations

import json
import math
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import redis
from pydantic_core import PydanticSerializationError, to_json

from common.access.quota import QUOTA_LUA
from common.errors import StoreUnavailable, WorkerLost
from common.model import ErrorInfo, Message
from common.redis import server
from common.redis.errors import mapped
from common.redis.scripts import ScriptFiles, call_replicated, load_script
from common.settings.load import Settings
from common.settings.sections import Lease

_LUA = Path(__file__).parent.parent / "lua"
_PRELUDE = (_LUA / "lib" / "prelude.lua",)
_RULES = (*_PRELUDE, _LUA / "lib" / "batches.lua", _LUA / "lib" / "job_status.lua")
_IDEMPOTENCY = _LUA / "lib" / "idempotency.lua"
_LIMITS = _LUA / "lib" / "limits.lua"
_REOPEN = _LUA / "lib" / "reopen.lua"
_NEW_JOB = _LUA / "lib" / "new_job.lua"
_LIBRARIES: dict[str, ScriptFiles] = {
    "accept": (QUOTA_LUA, *_RULES, _IDEMPOTENCY, _LIMITS, _NEW_JOB),
    "accept_batch": (*_RULES, _IDEMPOTENCY),
    "activity": _PRELUDE,
    "kept_answers": _PRELUDE,
    "batch": (*_RULES, _REOPEN),
    "cancel": _RULES,
    "claim": _RULES,
    "cleanups": _RULES,
    "dead_letters": (*_RULES, _REOPEN),
    "delete": _RULES,
    "deliveries": _PRELUDE,
    "duplicates": _RULES,
    "find_repeat": (*_PRELUDE, _IDEMPOTENCY),
    "finish": _RULES,
    "get": _PRELUDE,
    "heartbeat": _RULES,
    "list": _PRELUDE,
    "manifests": _PRELUDE,
    "open_outputs": (*_RULES, _REOPEN),
    "reap": _RULES,
    "release": _RULES,
    "restore": (*_RULES, _NEW_JOB),
    "restore_batch": _RULES,
    "retry": (*_RULES, _REOPEN, _LIMITS),
    "search": _PRELUDE,
    "stats": _RULES,
    "worker_died": _RULES,
    "workers": _RULES,
}
SCRIPT_FILES: dict[str, ScriptFiles] = {
    name: (*libraries, _LUA / f"{name}.lua") for name, libraries in _LIBRARIES.items()
}

# How long a call's answer is kept for a blind repeat of the same call; redis-py's own
# retries and a worker's minute of trying lie well within.
_CALL_SECONDS = 180
# A request that has held its Idempotency-Key this long counts as dead.
_HOLD_SECONDS = 120
_RESEND_SECONDS, _MAX_RESEND_SECONDS = 30, 600
_DEAD_HOURS = 720
_ALIVE_SECONDS, _DEFER_SECONDS = 30, 60
_MAX_EVENTS = 1000
# The scripts fill in how often it happened.
_COUNTED = "{{times}} of at most {most} times"
# How long a host claims no work after it found a part of the service away; doubled each
# time in a row. An outage that nobody reports again for the last of these is over.
_PAUSE_SECONDS, _MAX_PAUSE_SECONDS, _FORGET_SECONDS = 5, 120, 180
# For so long a process believes what the server said of its memory.
_MEMORY_SECONDS = 1.0


def dump(value: Any) -> str:
    """Write JSON as ASCII; NaN and infinity raise ValueError."""
    # Pydantic takes a seventh of the time, but refuses half a surrogate pair, and
    # writes NaN and infinity.
    with suppress(PydanticSerializationError):
        text = to_json(value, ensure_ascii=True).decode()
        if "NaN" not in text and "Infinity" not in text:
            return text
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def new_call() -> str:
    """Return a name for one call, by which a script knows a repeat of it."""
    return secrets.token_hex(16)


def read_messages(answer: dict[str, Any]) -> list[Message]:
    """Return the messages of a script's answer; Lua writes an empty list as {}."""
    return [Message(**message) for message in answer.get("messages") or []]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _lost(detail: str) -> str:
    return ErrorInfo(**WorkerLost(detail).as_dict()).model_dump_json()


def _errors(lease: Lease) -> dict[str, str]:
    """Return how a task ends that is given up, by the reason."""
    return {
        "lost": _lost(
            "the worker vanished while it had this work, "
            + _COUNTED.format(most=lease.max_lost_leases)
            + " (FRAMEMILL_LEASE_MAX_LOST_LEASES)"
        ),
        "deaths": _lost(
            "the worker's process died while it had this work, "
            + _COUNTED.format(most=lease.max_deaths)
            + " (FRAMEMILL_LEASE_MAX_DEATHS)"
        ),
        "exhausted": _lost(
            "no attempt was left (FRAMEMILL_LEASE_MAX_ATTEMPTS is "
            f"{lease.max_attempts}, FRAMEMILL_LEASE_MAX_REFUNDS "
            f"{lease.max_refunds})"
        ),
    }


def _configuration(settings: Settings) -> str:
    lease, kept = settings.lease, settings.retention
    return dump(
        {
            "prefix": settings.store.prefix,
            "lease_ms": _ms(lease.seconds),
            "grace_ms": _ms(lease.grace_seconds),
            "sweep_ms": _ms(lease.sweep_seconds),
            "max_attempts": lease.max_attempts,
            "max_lost_leases": lease.max_lost_leases,
            "max_deaths": lease.max_deaths,
            "max_refunds": lease.max_refunds,
            "max_delivery_attempts": len(settings.webhooks.retry_seconds) + 1,
            "most_wait_ms": _ms(settings.limits.queue_hours * 3600),
            "job_ms": _ms(kept.job_hours * 3600),
            "source_ms": _ms(kept.source_hours * 3600),
            "delivery_ms": _ms(settings.webhooks.log_hours * 3600),
            # No attempt of an ended job is still storing files by then.
            "orphan_ms": _ms(settings.engine.hard_seconds),
            "dead_ms": _ms(_DEAD_HOURS * 3600),
            "call_ms": _ms(_CALL_SECONDS),
            "idem_ms": _ms(kept.idempotency_hours * 3600),
            "hold_ms": _ms(_HOLD_SECONDS),
            "resend_ms": _ms(_RESEND_SECONDS),
            "max_resend_ms": _ms(_MAX_RESEND_SECONDS),
            "alive_ms": _ms(_ALIVE_SECONDS),
            "defer_ms": _ms(_DEFER_SECONDS),
            "max_events": _MAX_EVENTS,
            "outage_ms": _ms(lease.outage_hours * 3600),
            "pause_ms": _ms(_PAUSE_SECONDS),
            "max_pause_ms": _ms(_MAX_PAUSE_SECONDS),
            "forget_ms": _ms(_FORGET_SECONDS),
            "errors": _errors(lease),
        }
    )


class Connection:
    """Calls scripts; the base of all parts of the job store.

    Every call raises StoreUnavailable while the server does not answer.
    """

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self.settings = settings
        self._client = client
        self._prefix = settings.store.prefix
        self._config = _configuration(settings)
        self._memory_share, self._memory_until = 0.0, 0.0
        self._scripts = {
            name: load_script(client, files) for name, files in SCRIPT_FILES.items()
        }

    def _call(self, script: str, **arguments: Any) -> Any:
        """Run a script without arguments that are None; return its decoded JSON."""
        return json.loads(self._raw(script, **arguments))

    def _call_replicated(self, script: str, **arguments: Any) -> Any:
        """Run a script; return its answer once the replicas of the settings have it."""
        store = self.settings.store
        if not store.replicas:
            return self._call(script, **arguments)
        called, given = self._scripts[script], self._arguments(arguments)
        # The server's answer must come within the client's own time.
        seconds = store.timeout_seconds / 2
        with mapped():
            answer = call_replicated(
                self._client, called, given, store.replicas, seconds
            )
        return json.loads(answer)

    def _raw(self, script: str, **arguments: Any) -> str:
        with mapped():
            answer = self._scripts[script](args=self._arguments(arguments))
        return cast("str", answer)

    def _arguments(self, arguments: dict[str, Any]) -> list[str]:
        given = {name: one for name, one in arguments.items() if one is not None}
        return [self._config, dump(given)]

    def ping(self) -> None:
        """Raise StoreUnavailable if the server does not answer."""
        with mapped():
            self._client.ping()

    def check_server(self) -> None:
        """Raise SettingsError for a server that is not fit; see common.redis.server."""
        server.check_server(self._client)

    def check_writes(self) -> None:
        """Raise StoreUnavailable or SettingsError if no job should be accepted now.

        The server does not answer, refuses to write, is nearly full, or evicts keys.
        """
        server.check_writes(self._client, server.STORE, f"{self._prefix}room")
        if self.is_crammed():
            raise StoreUnavailable(self.crammed())

    def memory_share(self) -> float:
        """Return which share of its memory the server has taken; 0 if it has no limit.

        It is asked once a second; a server that does not tell is not asked again.
        """
        if time.monotonic() >= self._memory_until:
            # Before the call: other threads go by the last answer meanwhile.
            self._memory_until = time.monotonic() + _MEMORY_SECONDS
            share = server.memory_share(self._client)
            if share is None:
                self._memory_until = math.inf
            self._memory_share = share or 0.0
        return self._memory_share

    def is_crammed(self) -> bool:
        """Return whether the room that is left is for what was accepted already."""
        return self.memory_share() * 100 > self.settings.limits.store_percent

    def crammed(self) -> str:
        """Return why no job is accepted then."""
        return (
            "the job store is nearly full: what is left is for the jobs that it has "
            f"(FRAMEMILL_LIMITS_STORE_PERCENT is {self.settings.limits.store_percent})"
        )
