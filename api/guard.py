"""Who may: an authenticator turns a request into a Principal.

With ``FRAMEMILL_API_AUTH=false`` everybody is the one anonymous owner, who may do
everything; that is for a service on loopback or behind a gate of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from flask import Request, g, request

from common.errors import Forbidden, Unauthorized

Scope = Literal["submit", "read", "admin"]
ALL_SCOPES: frozenset[Scope] = frozenset({"submit", "read", "admin"})


@dataclass(frozen=True)
class Allowance:
    """What a key may use; None is no limit beyond the service's own."""

    jobs_at_once: int | None = None
    source_bytes: int | None = None
    source_seconds: float | None = None
    buckets: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Principal:
    """Who is asking. ``owner`` names whose jobs these are, None sees all."""

    owner: str
    scopes: frozenset[Scope] = ALL_SCOPES
    allowance: Allowance = field(default_factory=Allowance)

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the key has that scope (admin has all)."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(
                f"this API key lacks the scope {scope!r}",
                hint="framemill keys list shows the scopes of each key",
            )


class Authenticator(Protocol):
    """Knows who a request comes from."""

    def identify(self, request: Request) -> Principal:
        """Give the principal; raises Unauthorized or TooManyRequests."""


class Open:
    """Asks nobody for anything."""

    def identify(self, request: Request) -> Principal:  # noqa: ARG002 - the port's
        """Give the anonymous owner."""
        return _ANYBODY


_ANYBODY = Principal(owner="")


def bearer(request: Request) -> str:
    """Give the API key of a request; raises Unauthorized without one.

    ``Authorization: Bearer KEY``, or ``X-Api-Key: KEY`` for clients that can not.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else ""
    key = key or request.headers.get("X-Api-Key", "")
    if not key:
        raise Unauthorized(
            "the request carries no API key",
            hint="Authorization: Bearer KEY; framemill keys create makes one",
        )
    return key


def enter(authenticator: Authenticator, scope: Scope) -> Principal:
    """Identify who is asking, once a request, and require the scope."""
    who: Principal | None = g.get("principal")
    if who is None:
        who = g.principal = authenticator.identify(request)
    who.require(scope)
    return who
