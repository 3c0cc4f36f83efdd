"""Secrets in stored files: text that only holders of ``api.secret`` can read."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from common.settings.load import SettingsError, check_secret

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


def encrypt(secret: str, purpose: str, text: str) -> str:
    """Return ``text``, encrypted and authenticated (Fernet).

    Raises SettingsError for a secret that is too short.
    """
    check_secret(secret)
    return _cipher(secret, purpose).encrypt(text.encode()).decode()


def decrypt(secret: str, purpose: str, token: str) -> str:
    """Return the text; raises SettingsError where another secret encrypted it."""
    # The job service imports this module, and few of its calls need the library.
    from cryptography.fernet import InvalidToken  # noqa: PLC0415

    check_secret(secret)
    try:
        return _cipher(secret, purpose).decrypt(token).decode()
    except InvalidToken:
        raise SettingsError(
            "FRAMEMILL_API_SECRET is not the one with which the service encrypted this"
        ) from None


def _cipher(secret: str, purpose: str) -> Fernet:
    from cryptography.fernet import Fernet  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
    return Fernet(base64.urlsafe_b64encode(kdf.derive(secret.encode())))
