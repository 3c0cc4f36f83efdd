"""Signed links: the local store makes them, and the API checks them.

A link has its terms in its query (``e`` is the expiry in Unix seconds), and ``s``, the
HMAC-SHA256 over purpose, path and terms. A seal opens a whole folder and is one segment
of the path, so names relative to a file in the folder work. Every API process must have
the same ``api.secret``.
"""

from __future__ import annotations

import functools
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from common.errors import Forbidden, InternalError

_SECRET_CHARS = 32


def _signature(secret: str, purpose: str, path: str, terms: Mapping[str, str]) -> str:
    if len(secret) < _SECRET_CHARS:
        raise InternalError(
            "links cannot be signed: FRAMEMILL_API_SECRET is not set",
            hint=f"set it to at least {_SECRET_CHARS} random characters",
        )
    message = json.dumps([purpose, path, sorted(terms.items())]).encode()
    digest = _keyed(secret).copy()
    digest.update(message)
    return urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


# To look up the algorithm and to prepare the key takes longer than to sign.
@functools.lru_cache(maxsize=4)
def _keyed(secret: str) -> hmac.HMAC:
    return hmac.new(secret.encode(), digestmod="sha256")


def sign(
    secret: str, purpose: str, path: str, expires_at: int, terms: Mapping[str, str]
) -> str:
    """Return the quoted path with its signed query.

    ``purpose`` separates the uses of the secret (``get``, ``put``, ``part``, ``file``).
    """
    signed = {**terms, "e": str(expires_at)}
    query = urlencode({**signed, "s": _signature(secret, purpose, path, signed)})
    return f"{quote(path)}?{query}"


def verify(
    secret: str, purpose: str, path: str, query: Mapping[str, str]
) -> dict[str, str]:
    """Return the terms of a link that we signed.

    Raises Forbidden if the signature is not ours or the link has expired.
    """
    terms = {name: value for name, value in query.items() if name != "s"}
    _check(query.get("s", ""), _signature(secret, purpose, path, terms))
    _check_expiry(terms.get("e", "0"))
    return terms


def seal(secret: str, purpose: str, folder: str, expires_at: int) -> str:
    """Return the segment ``EXPIRY-SIGNATURE`` that opens everything in ``folder``."""
    terms = {"e": str(expires_at)}
    return f"{expires_at}-{_signature(secret, purpose, folder, terms)}"


def check_seal(secret: str, purpose: str, folder: str, given: str) -> None:
    """Raise Forbidden if a seal is not ours for that folder or has expired."""
    expires_at, _, signature = given.partition("-")
    _check(signature, _signature(secret, purpose, folder, {"e": expires_at}))
    _check_expiry(expires_at)


def _check(given: str, expected: str) -> None:
    if not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise Forbidden("the link's signature does not match")


def _check_expiry(expires_at: str) -> None:
    if int(expires_at) < time.time():
        raise Forbidden("the link has expired", hint="ask the job for a fresh one")
