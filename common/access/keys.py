"""API keys: who may do what, and how much of it.

A key is ``fm_`` and 256 random bits. Only its SHA-256 is stored, so a copy of the
store opens nothing. The record is found by that digest; rate and quotas are counted
by ``keys.lua`` with the server's clock. A browser that signed in has a session, which
is a secret of its own that stands for the key and is stored in the same way.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import redis
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.access.quota import QUOTA_LUA, DailyQuota, Today
from common.errors import Conflict, NotFound
from common.notify.subscriptions import Subscription
from common.redis.client import open_client
from common.redis.errors import mapped
from common.redis.scripts import load_script
from common.settings.faults import describe
from common.settings.load import Settings, SettingsError
from common.settings.types import PLACE, RECIPIENT

Scope = Literal["submit", "read", "admin"]
# known: it is there. leaving: it was revoked just now.
KeyState = Literal["known", "leaving", "restored"]
TOKEN_START = "fm_"  # noqa: S105 - what every key begins with, no secret
MOST_WEBHOOKS = 10
_TRIES = 20
_MOST_SESSIONS = 100
SCRIPT_FILES = (QUOTA_LUA, Path(__file__).with_name("keys.lua"))


class KeyRecord(BaseModel):
    """One API key; ``owner`` is whose jobs it sees. None is no limit.

    ``webhooks`` are subscriptions as a job has them: each job that is submitted with
    the key gets them beside its own. ``declared`` keys come from the settings.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9]{1,32}$")
    name: str = Field(min_length=1, max_length=100)
    owner: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    scopes: list[Scope] = Field(default=["submit", "read"], min_length=1)
    buckets: list[str] = []
    prefixes: list[str] = []
    destinations: list[Annotated[str, Field(pattern=PLACE)]] = []
    recipients: list[Annotated[str, Field(pattern=RECIPIENT)]] = []
    requests_per_second: float | None = Field(default=None, gt=0, le=100_000)
    burst: int = Field(default=20, ge=1, le=1_000_000)
    jobs_at_once: int | None = Field(default=None, ge=1)
    jobs_per_day: int | None = Field(default=None, ge=1)
    uploads_at_once: int | None = Field(default=None, ge=1)
    source_bytes: int | None = Field(default=None, ge=1)
    source_seconds: float | None = Field(default=None, gt=0)
    webhooks: list[Subscription] = Field(default=[], max_length=MOST_WEBHOOKS)
    declared: bool = False
    created_at: int = Field(default_factory=lambda: int(time.time() * 1000))


class DeclaredKey(KeyRecord):
    """A key of the setting FRAMEMILL_API_KEYS; of the key itself only its SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", exclude=True)
    declared: Literal[True] = True
    # Callers subscribe; a secret of theirs has no place in the settings.
    webhooks: list[Subscription] = Field(default=[], max_length=0)


def declared_keys(settings: Settings) -> list[DeclaredKey]:
    """Read the keys of the settings; raises SettingsError with every fault."""
    found: list[DeclaredKey] = []
    faults: list[str] = []
    for place, given in enumerate(settings.api.keys):
        where = f"FRAMEMILL_API_KEYS: key {place + 1}"
        try:
            key = DeclaredKey.model_validate({"owner": given.get("id"), **given})
        except ValidationError as error:
            faults += [
                f"{where}: "
                + describe(fault, fault["loc"], DeclaredKey.model_fields, "8")
                for fault in error.errors()
                # It is the id where none is given, and that has a line of its own.
                if fault["loc"] != ("owner",) or "owner" in given
            ]
            continue
        if any(key.id == one.id or key.sha256 == one.sha256 for one in found):
            faults.append(f"{where}: another key has the same id or sha256")
        found.append(key)
    if faults:
        raise SettingsError("settings are not valid:\n  " + "\n  ".join(faults))
    return found


@dataclass(frozen=True)
class Admission:
    """What became of one request: granted, or to come back after ``wait`` seconds.

    ``left`` and ``reset`` (seconds until the bucket is full) are None without a rate.
    ``session_ends`` (Unix milliseconds) is None for a request that carries the key.
    """

    key: KeyRecord
    granted: bool
    wait: int = 0
    left: int | None = None
    reset: int | None = None
    session_ends: int | None = None


def new_key_id() -> str:
    """Make an id for a key: 12 hex digits, shown in lists and logs."""
    return uuid.uuid4().hex[:12]


def new_webhook_secret() -> str:
    """Return a signing secret as Standard Webhooks has them: 256 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def digest(token: str) -> str:
    """Return what is stored of a key. 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class Keys:
    """The keys in the job store's Redis; raises StoreUnavailable while it is away."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._names = [
            prefix + name for name in ("keys", "key-ids", "key:", "manifests")
        ]
        self._prefix = prefix
        self._script = load_script(client, SCRIPT_FILES)

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Make the keys of the store that the settings name; connects on first use."""
        return cls(open_client(settings), settings.store.prefix)

    def create(self, record: KeyRecord) -> str:
        """Store a new key; gives the key itself, for the only time.

        Raises ValueError when the id is taken.
        """
        token = TOKEN_START + secrets.token_urlsafe(32)
        answer = self._call(
            "put", id=record.id, digest=digest(token), record=record.model_dump_json()
        )
        if answer["taken"]:
            raise ValueError(f"there is a key with the id {record.id!r}")
        return token

    def declare(self, keys: Sequence[DeclaredKey]) -> None:
        """Store these as the declared keys; remove others that were declared before.

        A declared key takes the place of one with its id; its webhooks stay.
        """
        told = []
        for key in keys:
            record = KeyRecord.model_validate(key.model_dump())
            if kept := self._call("find", id=key.id).get("record"):
                old = KeyRecord.model_validate_json(kept)
                stays = {"webhooks": old.webhooks, "created_at": old.created_at}
                record = record.model_copy(update=stays)
            document = record.model_dump_json()
            told.append({"id": key.id, "digest": key.sha256, "record": document})
        self._call("declare", keys=told)

    def list(self) -> list[KeyRecord]:
        """Return all keys, oldest first."""
        with mapped():
            found = cast("list[str]", self._client.hvals(self._names[0]))
        records = [KeyRecord.model_validate_json(one) for one in found]
        return sorted(records, key=lambda record: (record.created_at, record.id))

    def find(self, key_id: str) -> KeyRecord:
        """Return the record of a key; raises NotFound."""
        return KeyRecord.model_validate_json(self._find(key_id))

    def change(self, key_id: str, edit: Callable[[KeyRecord], KeyRecord]) -> KeyRecord:
        """Edit the record of a key; gives it as it is then.

        ``edit`` may run again where another process edits meanwhile. Raises NotFound,
        and what ``edit`` raises.
        """
        for _ in range(_TRIES):
            old = self._find(key_id)
            new = edit(KeyRecord.model_validate_json(old))
            answer = self._call(
                "change", id=key_id, old=old, record=new.model_dump_json()
            )
            if answer["state"] == "done":
                return new
        raise Conflict(f"others kept changing the key {key_id!r}; try again")

    def add_webhook(
        self, key_id: str, webhook: Subscription, api_secret: str
    ) -> Subscription:
        """Store one more webhook of a key, and return it with its id and secret.

        Without a secret it gets a new one, which is stored sealed by ``api_secret``.
        Jobs that are submitted from now on get the
        webhook. Raises Conflict when the key has ten, NotFound when there is no key.
        """
        made = webhook.model_copy(
            update={
                "id": f"w{uuid.uuid4().hex[:12]}",
                "secret": webhook.secret or new_webhook_secret(),
                "created_at": int(time.time() * 1000),
            }
        )

        stored = made.sealed(api_secret)

        def edit(record: KeyRecord) -> KeyRecord:
            if len(record.webhooks) >= MOST_WEBHOOKS:
                raise Conflict(
                    f"an API key has at most {MOST_WEBHOOKS} webhooks",
                    hint="delete one that is not needed",
                )
            return record.model_copy(update={"webhooks": [*record.webhooks, stored]})

        self.change(key_id, edit)
        return made

    def remove_webhook(self, key_id: str, webhook_id: str) -> None:
        """Remove a webhook of a key; jobs that were submitted before keep it.

        Raises NotFound.
        """

        def edit(record: KeyRecord) -> KeyRecord:
            left = [one for one in record.webhooks if one.id != webhook_id]
            if len(left) == len(record.webhooks):
                raise NotFound("this API key has no such webhook")
            return record.model_copy(update={"webhooks": left})

        self.change(key_id, edit)

    def _find(self, key_id: str) -> str:
        record: str | None = self._call("find", id=key_id).get("record")
        if record is None:
            raise NotFound(f"there is no API key with the id {key_id!r}")
        return record

    def rotate(self, key_id: str) -> str:
        """Replace the secret of a key at once; its limits and jobs stay. NotFound."""
        token = TOKEN_START + secrets.token_urlsafe(32)
        if not self._call("rotate", id=key_id, digest=digest(token))["rotated"]:
            raise NotFound(f"there is no API key with the id {key_id!r}")
        return token

    def revoke(self, key_id: str) -> bool:
        """Remove a key at once; false when there is none."""
        return bool(self._call("drop", id=key_id)["dropped"])

    def mark_all(self) -> None:
        """List the manifest of every key as due."""
        self._call("mark_all")

    def export(self, key_id: str) -> str | None:
        """Return what :meth:`restore` takes, without the key itself.

        None if there is nothing to restore: no such key, or one that the settings
        declare and that has no webhooks.
        """
        answer = self._call("export", id=key_id)
        if not answer:
            return None
        record = KeyRecord.model_validate_json(answer["record"])
        if record.declared and not record.webhooks:
            return None
        return json.dumps(answer)

    def restore(self, exported: str, *, dry: bool = False) -> KeyState:
        """Store a key as it was exported; ``dry`` only tells what would be done.

        A key that the settings declared gets its webhooks back if it has none; whether
        there is such a key, the settings alone say. Raises NotFound if they name none,
        ValueError for what no key is.
        """
        given = json.loads(exported)
        record = KeyRecord.model_validate_json(given["record"])
        if record.declared:
            return self._restore_webhooks(record, dry=dry)
        answer = self._call(
            "restore",
            id=record.id,
            digest=given["digest"],
            record=given["record"],
            dry=dry,
        )
        return cast("KeyState", answer["state"])

    def _restore_webhooks(self, kept: KeyRecord, *, dry: bool) -> KeyState:
        if self.find(kept.id).webhooks:
            return "known"
        if not dry:
            self.change(
                kept.id,
                lambda record: record.model_copy(
                    update={"webhooks": record.webhooks or kept.webhooks}
                ),
            )
        return "restored"

    def admit(self, token: str) -> Admission | None:
        """Find a key and count one request; None for an unknown key."""
        return _read_admission(self._call("admit", digest=digest(token)))

    def admit_session(self, session: str) -> Admission | None:
        """Find the key of a session and count one request; None if either has ended."""
        return _read_admission(self._call("admit", session=digest(session)))

    def sign_in(self, token: str, hours: float) -> str | None:
        """Store a session of a key, and return its secret; None for an unknown key.

        The session ends after ``hours``, with its key, or when the secret of the key
        changes. A key has at most 100 sessions: one more ends the oldest.
        """
        session = secrets.token_urlsafe(32)
        answer = self._call(
            "sign_in",
            digest=digest(token),
            session=digest(session),
            ms=int(hours * 3_600_000),
            most=_MOST_SESSIONS,
        )
        return session if answer["known"] else None

    def sign_out(self, session: str) -> None:
        """End a session at once; nothing happens where there is none."""
        self._call("sign_out", session=digest(session))

    def today(self, quota: DailyQuota) -> Today:
        """Return what today (UTC) has left of a quota; count nothing."""
        answer = self._call(
            "today", prefix=self._prefix, id=quota.key_id, most=quota.jobs
        )
        return Today(quota, int(answer["left"]), int(answer["reset"]))

    def _call(self, step: str, **arguments: Any) -> dict[str, Any]:
        with mapped():
            answer = self._script(self._names, [step, json.dumps(arguments)])
        decoded: dict[str, Any] = json.loads(cast("str", answer))
        return decoded


def _read_admission(answer: dict[str, Any]) -> Admission | None:
    if not answer["known"]:
        return None
    left_ms = answer.get("session_ms")
    return Admission(
        key=_read(answer["record"]),
        granted=answer["granted"],
        wait=int(answer.get("wait", 0)),
        left=answer.get("left"),
        reset=answer.get("reset"),
        session_ends=left_ms and int(time.time() * 1000) + left_ms,
    )


@functools.lru_cache(maxsize=1024)
def _read(record: str) -> KeyRecord:
    """Read a stored record; the same text is the same key, unchanged."""
    return KeyRecord.model_validate_json(record)
