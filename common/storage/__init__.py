"""Files by key: one port, a local folder or S3 behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.storage.local import LocalStore

if TYPE_CHECKING:
    from common.settings.load import Settings
    from common.storage.port import BlobStore


def connect(settings: Settings) -> BlobStore:
    """Give the store that ``settings.blobs.backend`` names; no request is made."""
    if settings.blobs.backend == "local":
        return LocalStore(settings)
    # boto3 takes a third of a second to import: only who needs it waits.
    from common.storage.s3 import S3Store  # noqa: PLC0415

    return S3Store(settings)
