"""Copies results to a caller's bucket, inside the storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from common.errors import DestinationForbidden, SourceNotFound, StorageUnavailable
from common.model import Artifact, Destination, ObjectName
from common.storage.names import content_disposition
from common.storage.s3_errors import code_of, is_ours, s3_errors, status_of

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# A retry may succeed after these; every other refusal is final.
_BUSY = frozenset({"RequestTimeout", "SlowDown", "OperationAborted"})


def export(
    client: S3Client,
    bucket: str,
    artifact: Artifact,
    to: Destination,
    place: ObjectName,
) -> None:
    """Copy one of our files, with its type and the destination's options.

    This is one CopyObject request: the bytes stay in the storage, and the copy appears
    complete. (It takes 5 GB at most; FRAMEMILL_ENGINE_OUTPUT_BYTES is far below.)
    Raises DestinationForbidden, SourceNotFound (our file is gone), StorageUnavailable.
    """
    what = f"s3://{place.bucket}/{place.key}"
    with s3_errors(what):
        try:
            client.copy_object(
                Bucket=place.bucket,
                Key=place.key,
                CopySource={"Bucket": bucket, "Key": artifact.key},
                ContentType=artifact.content_type,
                ContentDisposition=content_disposition(artifact.name, attachment=False),
                MetadataDirective="REPLACE",
                **_extras(to),
            )
        except ClientError as error:
            raise _refused(error, what, artifact) or error from error
    _compare(client, artifact, place, what)


def _extras(to: Destination) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if to.cache_control is not None:
        extras["CacheControl"] = to.cache_control
    if to.acl is not None:
        extras["ACL"] = to.acl
    if to.tags:
        extras |= {"Tagging": urlencode(to.tags), "TaggingDirective": "REPLACE"}
    return extras


def _refused(error: ClientError, what: str, artifact: Artifact) -> Exception | None:
    status, code = status_of(error), code_of(error)
    if code in {"NoSuchKey", "404"}:
        return SourceNotFound(f"{artifact.key} is no longer in our storage")
    if status >= 500 or code in _BUSY or status in {408, 429} or is_ours(error):
        return None
    return DestinationForbidden(
        f"{what}: the storage refuses it ({status} {code})",
        hint="the bucket must exist and let this service put objects there, with the "
        "ACL and the tags that are asked for",
    )


def _compare(
    client: S3Client, artifact: Artifact, place: ObjectName, what: str
) -> None:
    """Raise StorageUnavailable unless the copy has the right size.

    A bucket that may be written but not read (403 or 400) is trusted.
    """
    try:
        size = client.head_object(Bucket=place.bucket, Key=place.key)["ContentLength"]
    except ClientError as error:
        if status_of(error) in {400, 401, 403}:
            return
        with s3_errors(what):
            raise
    if size != artifact.bytes:
        raise StorageUnavailable(f"{what} has {size} bytes instead of {artifact.bytes}")
