"""What S3 and the way to it can say, in words of our tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from common.errors import (
    FramemillError,
    InternalError,
    SourceChanged,
    SourceForbidden,
    SourceNotFound,
    StorageUnavailable,
)

_BUSY = frozenset({408, 429})
# ExpiredToken is a 400, until whoever lends the credentials has given new ones.
_AWAY = frozenset({"SlowDown", "RequestTimeout", "NoSuchBucket", "ExpiredToken"})
_CHANGED = frozenset({409, 412})


def status_of(error: ClientError) -> int:
    """Give the HTTP status of a refusal."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: ClientError) -> str:
    """Give S3's own code of a refusal; a HEAD has only the status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def translate(error: ClientError, what: str, *, read: bool = False) -> FramemillError:
    """Choose our error for a refusal of ``what`` (a key, or a bucket).

    What the storage will not ``read`` for us, whatever it calls the reason (a 400 where
    the object is encrypted with the caller's key), is a source that may not be read.
    """
    status, code = status_of(error), code_of(error)
    if status >= 500 or status in _BUSY or code in _AWAY:
        return StorageUnavailable(f"{what}: storage answers {status} {code}")
    if status == 404:
        return SourceNotFound(f"{what}: not in the storage ({code})")
    if status in {401, 403}:
        return SourceForbidden(f"{what}: the storage refuses it ({code})")
    if status in _CHANGED:
        return SourceChanged(f"{what} is no longer what it was ({code})")
    if read:
        return SourceForbidden(f"{what}: the storage refuses it ({status} {code})")
    return InternalError(f"{what}: storage answers {status} {code}")


@contextmanager
def s3_errors(what: str, *, read: bool = False) -> Iterator[None]:
    """Turn what boto3 raises, also while a body is read, into our errors."""
    try:
        yield
    except ClientError as error:
        raise translate(error, what, read=read) from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise StorageUnavailable(f"{what}: {type(error).__name__}") from error
