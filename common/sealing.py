"""Texts that only holders of ``api.secret`` can read: the one home of encryption.

A text is encrypted and authenticated by Fernet (AES-128-CBC, HMAC-SHA256) under a key
that HKDF derives from the secret for each purpose. What an earlier secret encrypted is
read as long as ``api.previous_secrets`` lists that. A sealed text, as the job store has
it, is ``sealed:`` and such a token. So a copy of the store or of the storage, such as
a backup, tells none of them.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from common.settings.load import SettingsError, check_secret

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_PREFIX = "sealed:"
_PURPOSE = "framemill sealing 1"
_KEY_BYTES = 32


class SealBroken(SettingsError):
    """An encrypted text cannot be read; the text says why, and what to do."""


def seal(text: str, secret: str) -> str:
    """Return ``text`` sealed under ``api.secret``; what is sealed already stays.

    Raises SettingsError for a secret that is missing or too short.
    """
    if text.startswith(_PREFIX):
        return text
    return _PREFIX + encrypt(secret, _PURPOSE, text)


def unseal(text: str, secrets: Sequence[str]) -> str:
    """Return what :func:`seal` was given; earlier versions stored it as it is.

    Raises SealBroken for a text that was sealed under none of the secrets.
    """
    if not text.startswith(_PREFIX):
        return text
    return decrypt(secrets, _PURPOSE, text.removeprefix(_PREFIX))


def encrypt(secret: str, purpose: str, text: str) -> str:
    """Return ``text``, encrypted and authenticated under ``api.secret``.

    Raises SettingsError for a secret that is missing or too short.
    """
    return _cipher(secret, purpose).encrypt(text.encode()).decode()


def decrypt(secrets: Sequence[str], purpose: str, token: str) -> str:
    """Return the text that :func:`encrypt` was given under one of the secrets.

    Raises SealBroken.
    """
    # Most modules import this one, and few of their calls need the library.
    from cryptography.fernet import InvalidToken  # noqa: PLC0415

    known = [secret for secret in secrets if secret]
    for secret in known:
        try:
            return _cipher(secret, purpose).decrypt(token).decode()
        except InvalidToken:
            continue
        except SettingsError as error:
            raise SealBroken(f"it is encrypted, and {error}") from error
    if known:
        raise SealBroken(
            "it is encrypted under another FRAMEMILL_API_SECRET than that of this "
            "process; if that was changed, list the earlier one in "
            "FRAMEMILL_API_PREVIOUS_SECRETS"
        )
    raise SealBroken(
        "it is encrypted, and this process has no FRAMEMILL_API_SECRET to read it "
        "with; set it to that of the API"
    )


@functools.lru_cache(maxsize=8)
def _cipher(secret: str, purpose: str) -> Fernet:
    from cryptography.fernet import Fernet  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    check_secret(secret)
    kdf = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose.encode())
    return Fernet(base64.urlsafe_b64encode(kdf.derive(secret.encode())))
