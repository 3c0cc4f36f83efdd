"""What an error of the job store's server means to whoever asked: come back later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from common.errors import StoreUnavailable

_REFUSALS = ("OOM", "MISCONF", "READONLY", "NOREPLICAS", "MASTERDOWN", "BUSY")


@contextmanager
def mapped() -> Iterator[None]:
    """Raise StoreUnavailable where the server does not answer or may not write."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StoreUnavailable(f"the job store did not answer: {error}") from error
    except redis.ResponseError as error:
        refused = isinstance(error, redis.OutOfMemoryError | redis.ReadOnlyError)
        if not refused and not str(error).startswith(_REFUSALS):
            raise
        raise StoreUnavailable(f"the job store refuses to write: {error}") from error
