"""The signing secret of an API key, and the check of what was signed by it.

The secret follows from ``api.secret`` and the key's id. So a forged URL is refused
before anything is looked up, and nothing is stored that a copy of the store would tell.
"""

from __future__ import annotations

import hmac
import time

from api.cli.render_url import sign_render
from common.errors import Forbidden
from common.settings.sections import Api

# The key's id on a service without API keys; no key can have it.
OPEN = "no-key"


def signing_secret(api_secret: str, key_id: str) -> str:
    """Return the secret by which the holder of an API key signs URLs."""
    purpose = f"framemill render 1 {key_id}"
    return hmac.new(api_secret.encode(), purpose.encode(), "sha256").hexdigest()


def check_signature(
    settings: Api, key_id: str, path: str, expires: str | None, signature: str
) -> int | None:
    """Return when a URL ends, in Unix seconds; None is never.

    Raises Forbidden for a signature that is not by a secret of this key, and for a URL
    that has ended. Signatures by earlier values of ``api.secret`` count.
    """
    until = _read_expiry(expires)
    matches = False
    for secret in settings.secrets:
        own = sign_render(signing_secret(secret, key_id), path, until)
        matches |= hmac.compare_digest(
            own.encode(), signature.encode("utf-8", "replace")
        )
    if not matches:
        raise Forbidden(
            "the signature of this URL does not match",
            hint="sign it by the secret of GET /v1/render/signing-key",
        )
    if until is not None and until < time.time():
        raise Forbidden("this URL has expired", hint="sign a new one")
    return until


def _read_expiry(text: str | None) -> int | None:
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 13 else 0
