"""Reads from S3: ranges, objects that must not change, connections that break.

Not every storage follows the protocol: rclone answers a range with 200 and
Content-Range, and ignores If-Match. So both are checked again here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from common.errors import SourceChanged, StorageUnavailable
from common.storage.port import CHUNK_BYTES, RangesIgnored
from common.storage.s3_errors import code_of, s3_errors, status_of

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Blob(NamedTuple):
    """Where a blob lies; ``own`` means that it is in the service's own bucket."""

    bucket: str
    key: str
    own: bool


class Span(NamedTuple):
    """The bytes from ``start`` to before ``end``, None for all that follow.

    ``needed`` says that a storage must not send what lies before them, too.
    """

    start: int
    end: int | None = None
    needed: bool = False


class _PastTheEnd(Exception):
    """The range begins after the last byte."""


def read_range(
    client: S3Client,
    blob: Blob,
    span: Span,
    etag: str | None,
    attempts: int,
) -> Iterator[bytes]:
    """Yield a span of ``blob``; errors on opening are raised by the call itself.

    A connection that breaks is resumed where it broke, on the same version of the
    object, until ``attempts`` in a row brought no byte.
    """
    if span.end is not None and span.end <= span.start:
        return iter(())
    try:
        chunks, found = _open(client, blob, span, etag)
    except _PastTheEnd:
        return iter(())
    return _stream(client, blob, span, found, chunks, attempts)


def _open(
    client: S3Client, blob: Blob, span: Span, etag: str | None
) -> tuple[Iterator[bytes], str]:
    bucket, key, own = blob
    start, end, needed = span
    wanted: dict[str, Any] = {"Bucket": bucket, "Key": key}
    if start or end is not None:
        wanted["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    if etag is not None:
        wanted["IfMatch"] = f'"{etag}"'
    with s3_errors(f"s3://{bucket}/{key}", read=True, own=own):
        try:
            answer = client.get_object(**wanted)
        except ClientError as error:
            if status_of(error) == 416 or code_of(error) == "InvalidRange":
                raise _PastTheEnd from error
            raise
    found = answer["ETag"].strip('"')
    if etag is not None and found != etag:
        answer["Body"].close()
        raise SourceChanged(f"{key} is no longer what it was: its ETag differs")
    # Without Content-Range the storage ignored the range and sends the whole object.
    begin = _RANGE.match(answer.get("ContentRange", ""))
    if begin is None and needed and "Range" in wanted:
        answer["Body"].close()
        raise RangesIgnored(f"s3://{bucket}/{key}: the storage ignores ranges")
    skip = start - (int(begin[1]) if begin else 0)
    if skip < 0:
        answer["Body"].close()
        raise StorageUnavailable(f"{key}: the storage sent another range than asked")
    return _cut(answer["Body"].iter_chunks(CHUNK_BYTES), skip), found


def _stream(
    client: S3Client,
    blob: Blob,
    span: Span,
    etag: str,
    chunks: Iterator[bytes],
    attempts: int,
) -> Iterator[bytes]:
    start, end = span.start, span.end
    failures = 0
    while True:
        try:
            with s3_errors(blob.key, own=blob.own):
                for chunk in chunks:
                    wanted = chunk if end is None else chunk[: end - start]
                    start += len(wanted)
                    failures = 0
                    yield wanted
                    if start == end:
                        return
        except StorageUnavailable:
            failures += 1
            if failures >= attempts:
                raise
        else:
            return
        try:
            chunks, _ = _open(client, blob, span._replace(start=start), etag)
        except _PastTheEnd:
            return


def _cut(chunks: Iterator[bytes], skip: int) -> Iterator[bytes]:
    for chunk in chunks:
        if skip < len(chunk):
            yield chunk[skip:] if skip else chunk
        skip = max(0, skip - len(chunk))
