"""Texts that the job store must not show: encrypted under ``api.secret``.

A sealed text is ``sealed:`` and a token of Fernet (AES-128-CBC, HMAC-SHA256), whose
key is derived from the secret by HKDF. So a copy of the store, such as a backup, tells
none of them.
"""

from __future__ import annotations

import base64
import functools

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from common.settings.load import SettingsError, check_secret

_PREFIX = "sealed:"
_KEY_BYTES = 32


class SealBroken(ValueError):
    """A sealed text cannot be read; the text says why, and what to do."""


def seal(text: str, secret: str) -> str:
    """Return ``text`` sealed under ``api.secret``; what is sealed already stays.

    Raises SettingsError for a secret that is missing or too short.
    """
    if text.startswith(_PREFIX):
        return text
    return _PREFIX + _cipher(secret).encrypt(text.encode()).decode()


def unseal(text: str, secret: str) -> str:
    """Return what :func:`seal` was given; earlier versions stored it as it is.

    Raises SealBroken for a text that was sealed under another secret.
    """
    if not text.startswith(_PREFIX):
        return text
    try:
        return _cipher(secret).decrypt(text.removeprefix(_PREFIX)).decode()
    except SettingsError as error:
        raise SealBroken(
            "it is encrypted, and this process has no FRAMEMILL_API_SECRET to read it "
            "with; set it to that of the API"
        ) from error
    except InvalidToken as error:
        raise SealBroken(
            "it is encrypted under another FRAMEMILL_API_SECRET than that of this "
            "process"
        ) from error


@functools.lru_cache(maxsize=4)
def _cipher(secret: str) -> Fernet:
    check_secret(secret)
    derivation = HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"framemill sealing 1")
    return Fernet(base64.urlsafe_b64encode(derivation.derive(secret.encode())))
