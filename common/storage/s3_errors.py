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
    StorageDenied,
    StorageUnavailable,
)

_BUSY = frozenset({408, 429})
_AWAY = frozenset({"SlowDown", "RequestTimeout"})
# These are about who asks, not about what is asked for. (A HEAD has no code.)
_OURS = frozenset(
    {
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
_REFUSED = frozenset({400, 401, 403})
_CHANGED = frozenset({409, 412})
_DENIED_HINT = (
    "the service's operator looks at FRAMEMILL_S3_ACCESS_KEY_ID, "
    "FRAMEMILL_S3_SECRET_ACCESS_KEY, what they may do in the bucket, and the clock"
)


def status_of(error: ClientError) -> int:
    """Return the HTTP status of a refusal."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: ClientError) -> str:
    """Return S3's own code of a refusal; a HEAD has only the status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def translate(
    error: ClientError, what: str, *, read: bool = False, own: bool = False
) -> FramemillError:
    """Choose our error for a refusal of ``what`` (a key, or a bucket).

    With ``own`` it lies in the service's own bucket: whatever is refused there is the
    service's fault. What another bucket will not ``read`` for us, whatever it calls the
    reason (a 400 where the object is encrypted with the caller's key), is a source
    that may not be read.
    """
    status, code = str(status_of(error)), code_of(error)
    # The answer to HEAD has no body: botocore makes the code of the status.
    reason = status if code in ("", status) else f"{status} {code}"
    said = f"{what}: storage answers {reason}"
    return _ours(error, said, own=own) or _theirs(error, said, read=read)


def _ours(error: ClientError, said: str, *, own: bool) -> FramemillError | None:
    status, code = status_of(error), code_of(error)
    if status >= 500 or status in _BUSY or code in _AWAY:
        return StorageUnavailable(said)
    if is_ours(error) or (own and status in _REFUSED):
        return StorageDenied(said, hint=_DENIED_HINT)
    if own and code == "NoSuchBucket":
        return StorageUnavailable(said)
    return None


def _theirs(error: ClientError, said: str, *, read: bool) -> FramemillError:
    status = status_of(error)
    if status == 404:
        return SourceNotFound(said)
    if status in _CHANGED:
        return SourceChanged(said)
    if read or status in {401, 403}:
        return SourceForbidden(said)
    return InternalError(said)


def is_ours(error: ClientError) -> bool:
    """Return whether a refusal is about the service's own keys or clock."""
    return code_of(error) in _OURS


@contextmanager
def s3_errors(what: str, *, read: bool = False, own: bool = False) -> Iterator[None]:
    """Turn what boto3 raises, also while a body is read, into our errors."""
    try:
        yield
    except ClientError as error:
        raise translate(error, what, read=read, own=own) from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise StorageUnavailable(f"{what}: {type(error).__name__}") from error
