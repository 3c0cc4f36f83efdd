"""Authentication: turns a request into a Principal, and holds keys to their limits.

With ``FRAMEMILL_API_AUTH=false`` every caller is the same anonymous owner, who may do
everything. That is for a service on loopback, or behind another program that checks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from flask import Request, Response, request

from api.http.context import current
from api.http.cookies import SAFE, require_own_page, session_of
from common.access.keys import Admission, DeclaredKey, KeyRecord, Keys, Scope
from common.access.principal import Principal, principal_of
from common.access.quota import DailyQuota, quota_used_up
from common.errors import Forbidden, NotFound, TooManyRequests, Unauthorized
from common.settings.sections import Api, is_loopback

# A key has 46 characters; anything much longer is not hashed at all.
_TOKEN_CHARS = 256
_DAY_SECONDS = 86_400


class Authenticator(Protocol):
    """Identifies callers."""

    def identify(self, request: Request) -> Principal:
        """Return the caller; raises Unauthorized, Forbidden or TooManyRequests."""

    def holder(self, key_id: str | None) -> Principal:
        """Return whom the id of an API key stands for; None where none is needed.

        It proves nothing: what was signed by the key's secret does. Counts no request.
        Raises Forbidden for a key that there is not.
        """

    def sign_in(self, token: str) -> KeyRecord | None:
        """Return the key that a browser signs in with; None where none is needed.

        Raises Unauthorized or TooManyRequests.
        """

    def quota(self, who: Principal, *, repeat: bool = False) -> DailyQuota | None:
        """Return the quota that a new job counts against; None where there is none.

        Raises TooManyRequests where it is used up already, unless the request may be
        the ``repeat`` of one that made a job.
        """

    def job_counted(self) -> None:
        """Note that a job of this request was counted against the quota."""


class Open:
    """Accepts callers without a key: on loopback only, unless embedded.

    A browser on this machine lets any page it shows reach loopback. ``Host`` reveals a
    page whose name was made to lead here (DNS rebinding), ``Origin`` one that sends a
    form across sites.
    """

    def __init__(self, settings: Api) -> None:
        self._embedded = settings.embedded
        self._origins = settings.cors_origins
        self._name = urlsplit(settings.public_url or "").hostname
        self._proxied = settings.trusted_proxies > 0

    def identify(self, request: Request) -> Principal:
        """Return the anonymous owner; raises Forbidden beyond loopback, or for a page.

        The settings were checked at start, but gunicorn's command line decides where
        it listens. So the address counts at which this connection came in.
        """
        if self._embedded:
            return _ANYBODY
        if not _came_by_loopback(request):
            raise Forbidden(
                "without API keys, this service answers on loopback only",
                hint="set FRAMEMILL_API_AUTH=true; or FRAMEMILL_API_EMBEDDED=true when "
                "another program in front authenticates callers",
            )
        if not self._is_ours(_host_name(request)):
            raise Forbidden(
                "without API keys, this service answers to loopback host names only",
                hint="use http://127.0.0.1 or http://localhost; "
                "FRAMEMILL_API_PUBLIC_URL sets another name",
            )
        if not self._may_write(request):
            raise Forbidden(
                "pages of other origins may not send this request",
                hint="the operator allows an origin by FRAMEMILL_API_CORS_ORIGINS",
            )
        return _ANYBODY

    def _is_ours(self, name: str) -> bool:
        # A trusted proxy has chosen which host names reach us.
        return self._proxied or is_loopback(name) or name == self._name

    def _may_write(self, request: Request) -> bool:
        if request.method in SAFE or "*" in self._origins:
            return True
        # Sec-Fetch-Site is not asked: without a cookie, Origin alone decides.
        origin = request.headers.get("Origin")
        own = f"{request.scheme}://{request.host}"
        return origin is None or origin == own or origin in self._origins

    def holder(self, key_id: str | None) -> Principal:
        """Return the anonymous owner; raises Forbidden for the id of a key."""
        if key_id is not None:
            raise _unknown_key()
        return _ANYBODY

    def sign_in(self, token: str) -> None:
        """Return None: there are no keys."""

    def quota(self, who: Principal, *, repeat: bool = False) -> None:
        """Return None: nothing is counted."""

    def job_counted(self) -> None:
        """Do nothing."""


_ANYBODY = Principal(owner="")


def _host_name(request: Request) -> str:
    try:
        return urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return ""


def _came_by_loopback(request: Request) -> bool:
    link = request.environ.get("gunicorn.socket")
    # Other servers and tests set nothing; the name of a Unix socket is a string.
    here = link.getsockname() if link is not None else ""
    return not isinstance(here, tuple) or is_loopback(here[0])


class KeyAuthenticator:
    """Accepts callers with an API key, within the key's limits."""

    def __init__(
        self,
        keys: Keys,
        declared: Sequence[DeclaredKey] = (),
        public_url: str | None = None,
    ) -> None:
        self._keys = keys
        self._public_url = public_url
        # Declared at the first request: the store may be away while the API starts.
        self._undeclared: Sequence[DeclaredKey] | None = declared

    def identify(self, request: Request) -> Principal:
        """Return the owner of the key that the request, or its session, names.

        A key in a header counts before a cookie. Raises Unauthorized, TooManyRequests,
        and Forbidden for a request by cookie that our own page did not send.
        """
        session = None if _sent_key(request) else session_of(request)
        if session is None:
            return principal_of(self.sign_in(bearer(request)))
        self._declare()
        short = len(session) <= _TOKEN_CHARS
        admission = self._keys.admit_session(session) if short else None
        if admission is None:
            raise Unauthorized(
                "this session has ended", hint="sign in again with an API key"
            )
        require_own_page(request, self._public_url)
        return principal_of(_granted(admission))

    def holder(self, key_id: str | None) -> Principal:
        """Return the owner of a key; raises Forbidden where there is none."""
        self._declare()
        if key_id is None:
            raise _unknown_key()
        try:
            return principal_of(self._keys.find(key_id))
        except NotFound as error:
            raise _unknown_key() from error

    def sign_in(self, token: str) -> KeyRecord:
        """Return the key, and count the request; raises as ``identify`` does."""
        self._declare()
        admission = self._keys.admit(token) if len(token) <= _TOKEN_CHARS else None
        if admission is None:
            raise Unauthorized("this API key is unknown or was revoked")
        return _granted(admission)

    def _declare(self) -> None:
        if self._undeclared is not None:
            self._keys.declare(self._undeclared)
            self._undeclared = None

    def quota(self, who: Principal, *, repeat: bool = False) -> DailyQuota | None:
        """Check today's quota (UTC) before the job's bytes are received.

        The store counts, and refuses, in the call that records the job or its upload.
        """
        most = who.allowance.jobs_per_day
        if most is None or who.key_id is None:
            return None
        quota = DailyQuota(who.key_id, most)
        today = current().today = self._keys.today(quota)
        if today.left == 0 and not repeat:
            raise quota_used_up(quota, today.reset)
        return quota

    def job_counted(self) -> None:
        """Lower what the answer's RateLimit header says of today by one job."""
        context = current()
        if context.today is not None:
            left = max(0, context.today.left - 1)
            context.today = replace(context.today, left=left)


def _unknown_key() -> Forbidden:
    return Forbidden("the API key that signed this URL is unknown or was revoked")


def _granted(admission: Admission) -> KeyRecord:
    current().admission = admission
    if not admission.granted:
        raise TooManyRequests(
            f"this API key may make {admission.key.requests_per_second:g} requests "
            f"a second, {admission.key.burst} at once",
            retry_after=admission.wait,
        )
    return admission.key


def add_rate_limit_headers(response: Response) -> None:
    """Add RateLimit-Policy and RateLimit, on granted answers and on refusals.

    They follow draft-ietf-httpapi-ratelimit-headers-11: lists of strings with
    parameters. Both policies count requests, the default unit: one counts all of them,
    the other those that make a job.
    """
    policies, limits = [], []
    context = current()
    admission = context.admission
    if admission is not None and admission.left is not None:
        rate = admission.key.requests_per_second or 1
        burst = admission.key.burst
        window = max(1, math.ceil(burst / rate))
        policies.append(f'"requests";q={burst};w={window}')
        limits.append(f'"requests";r={admission.left};t={admission.reset or 0}')
    if (today := context.today) is not None:
        policies.append(f'"jobs-per-day";q={today.quota.jobs};w={_DAY_SECONDS}')
        limits.append(f'"jobs-per-day";r={today.left};t={today.reset}')
    if context.exceeded is not None:
        name, most = context.exceeded
        wait = response.headers.get("Retry-After", "0")
        policies.append(f'"{name}";q={most}')
        limits.append(f'"{name}";r=0;t={wait}')
    if policies:
        response.headers["RateLimit-Policy"] = ", ".join(policies)
        response.headers["RateLimit"] = ", ".join(limits)


def bearer(request: Request) -> str:
    """Return the API key of a request; raises Unauthorized without one.

    ``Authorization: Bearer KEY``, or ``X-Api-Key: KEY`` where that cannot be sent.
    """
    key = _sent_key(request)
    if not key:
        raise Unauthorized(
            "the request carries no API key",
            hint="send Authorization: Bearer KEY; framemill keys create makes a key",
        )
    return key


def _sent_key(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else ""
    return key or request.headers.get("X-Api-Key", "")


def enter(authenticator: Authenticator, scope: Scope) -> Principal:
    """Identify who is asking, once a request, and require the scope."""
    context = current()
    if context.principal is None:
        context.principal = authenticator.identify(request)
    context.principal.require(scope)
    return context.principal
