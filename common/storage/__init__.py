"""Stores files under keys: one port, with a local folder or S3 behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.storage.local import LocalStore

if TYPE_CHECKING:
    from common.settings.load import Settings
    from common.storage.port import BlobStore


def connect(settings: Settings) -> BlobStore:
    """Return the store that ``settings.blobs.backend`` names; no request is made."""
    if settings.blobs.backend == "local":
        return LocalStore(settings)
    # boto3 takes a third of a second to import, so only those wait who need it.
    from common.storage.s3 import S3Store  # noqa: PLC0415

    return S3Store(settings)
