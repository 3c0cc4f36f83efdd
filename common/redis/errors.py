"""Maps errors of a Redis server to StoreUnavailable, which can be retried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from common.errors import StoreUnavailable

_REFUSALS = ("OOM", "MISCONF", "READONLY", "NOREPLICAS", "MASTERDOWN", "BUSY")


@contextmanager
def mapped(part: str = "the job store") -> Iterator[None]:
    """Raise StoreUnavailable if the server does not answer or cannot write.

    ``part`` is what the server is to us.
    """
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StoreUnavailable(f"{part} did not answer: {error}") from error
    except redis.ResponseError as error:
        refused = isinstance(error, redis.OutOfMemoryError | redis.ReadOnlyError)
        if not refused and not str(error).startswith(_REFUSALS):
            raise
        raise StoreUnavailable(f"{part} refuses to write: {error}") from error
