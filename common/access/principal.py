"""The caller of a request: whose jobs they see, what they may do, and how much."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.access.keys import KeyRecord, Scope
from common.errors import Forbidden
from common.notify.subscriptions import Subscription

ALL_SCOPES: frozenset[Scope] = frozenset({"submit", "read", "admin"})


@dataclass(frozen=True)
class Allowance:
    """What a caller may use; None is no limit beyond the service's own."""

    jobs_at_once: int | None = None
    source_bytes: int | None = None
    source_seconds: float | None = None
    buckets: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    jobs_per_day: int | None = None
    uploads_at_once: int | None = None


@dataclass(frozen=True)
class Principal:
    """The caller; ``owner`` names whose jobs they see and make.

    ``key_id`` is None on a service without API keys. ``subscriptions`` are the
    webhooks of the key, as the job store holds them.
    """

    owner: str
    key_id: str | None = None
    scopes: frozenset[Scope] = ALL_SCOPES
    allowance: Allowance = field(default_factory=Allowance)
    subscriptions: tuple[Subscription, ...] = ()

    def may(self, scope: Scope) -> bool:
        """Return whether the key has that scope (admin has all)."""
        return scope in self.scopes or "admin" in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the key has that scope."""
        if not self.may(scope):
            raise Forbidden(
                f"this API key lacks the scope {scope!r}",
                hint="framemill keys list shows the scopes of each key",
            )


def principal_of(key: KeyRecord) -> Principal:
    """Return the caller that an API key stands for."""
    allowance = Allowance(
        jobs_at_once=key.jobs_at_once,
        source_bytes=key.source_bytes,
        source_seconds=key.source_seconds,
        buckets=tuple(key.buckets),
        prefixes=tuple(key.prefixes),
        destinations=tuple(key.destinations),
        recipients=tuple(key.recipients),
        jobs_per_day=key.jobs_per_day,
        uploads_at_once=key.uploads_at_once,
    )
    return Principal(
        key.owner, key.id, frozenset(key.scopes), allowance, tuple(key.webhooks)
    )
