"""A blob that comes in before its record, and is removed if that never follows."""

from __future__ import annotations

import time

import structlog

from api.http.body import Readable
from common.errors import StoreUnavailable
from common.jobs.store import JobStore
from common.settings.load import Settings

log = structlog.get_logger(__name__)

_SECONDS = 900.0
_RENEWALS = 4
_PAUSES = 2


class ReservedBody:
    """A request's body that keeps the blob made of it, for as long as it is read.

    The janitor deletes the blob a while after the last read, unless a job with that
    source has been accepted: 15 minutes, or longer where a body may pause for longer.
    Raises StoreUnavailable if the blob cannot be reserved at all.
    """

    def __init__(
        self, body: Readable, store: JobStore, key: str, settings: Settings
    ) -> None:
        self._body = body
        self._store = store
        self._key = key
        self._seconds = reserved_seconds(settings)
        self._renew()

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        chunk = self._body.read(size)
        if time.monotonic() >= self._due:
            try:
                self._renew()
            except StoreUnavailable as error:
                # The next renewal may succeed, and the record needs the store anyway.
                log.warning("blob.not_reserved", key=self._key, error=error.detail)
        return chunk

    def _renew(self) -> None:
        self._due = time.monotonic() + self._seconds / _RENEWALS
        self._store.reserve_blob(self._key, self._seconds)


def reserved_seconds(settings: Settings) -> float:
    """Return how long a blob without a record is kept after the last read."""
    if settings.api.body_rate == 0:
        # A body may pause for as long as it likes.
        return settings.retention.upload_hours * 3600
    return max(_SECONDS, _PAUSES * settings.api.body_seconds)
