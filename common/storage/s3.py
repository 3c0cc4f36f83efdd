"""Stores blobs in S3, or a storage with the same protocol, through one boto3 client.

Storages differ, and nothing here relies on what only some of them do: rclone ignores
If-Match (the ETag is compared again here) and answers ranges with 200, moto checks
no signature, most know no presigned POST. Checksums beyond the protocol's own are
only sent where a store asks for them (rclone refuses boto3's default).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import ClientError

from common.errors import (
    DestinationForbidden,
    SourceChanged,
    SourceForbidden,
    SourceNotFound,
    StorageUnavailable,
    Unavailable,
)
from common.model import Artifact, Destination, ObjectName
from common.settings.load import Settings
from common.storage import exporter
from common.storage.names import check_key, content_disposition, is_plain
from common.storage.observed import observed
from common.storage.port import (
    CHUNK_BYTES,
    BlobInfo,
    BlobWriter,
    Grant,
    Part,
    disk_errors,
)
from common.storage.s3_errors import code_of, s3_errors, status_of
from common.storage.s3_reader import Blob, Span, read_range
from common.storage.s3_writer import S3Writer

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import MultipartUploadTypeDef

_POOL = 64
_log = structlog.get_logger(__name__)


def connect_client(settings: Settings, *, endpoint: str | None = None) -> S3Client:
    """Return the client of ``settings.s3``; ``endpoint`` replaces its address."""
    s3 = settings.s3
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": s3.addressing_style},
        connect_timeout=s3.connect_timeout_seconds,
        read_timeout=s3.read_timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": s3.max_attempts},
        max_pool_connections=_POOL,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or s3.endpoint_url,
        region_name=s3.region,
        aws_access_key_id=s3.access_key_id,
        aws_secret_access_key=s3.secret_access_key,
        config=config,
    )


def _is_no_key(error: ClientError, key: str) -> bool:
    """Return whether a refusal is about the key itself (rclone and MinIO say 400)."""
    return status_of(error) == HTTPStatus.BAD_REQUEST and not is_plain(key)


@observed
class S3Store:
    """The BlobStore over one bucket; sources may lie in others."""

    def __init__(self, settings: Settings) -> None:
        self._bucket = settings.blobs.bucket
        self._attempts = settings.s3.max_attempts
        self._skew: float | None = None
        self._client = connect_client(settings)
        public = settings.s3.public_endpoint_url
        self._signer = (
            connect_client(settings, endpoint=public) if public else self._client
        )

    def admits(self, key: str, *, bucket: str | None = None) -> bool:
        """Return whether the storage can hold such a key; it is asked about odd ones.

        Raises StorageUnavailable.
        """
        place = bucket or self._bucket
        if is_plain(key):
            return True
        with s3_errors(f"s3://{place}/{key}"):
            try:
                self._client.head_object(Bucket=place, Key=key)
            except ClientError as error:
                if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                return not _is_no_key(error, key)
        return True

    def head(self, key: str, *, bucket: str | None = None) -> BlobInfo:
        """Return size, ETag, content type and version of a blob."""
        place = bucket or self._bucket
        with self._errors(f"s3://{place}/{key}", bucket, read=True):
            try:
                answer = self._client.head_object(Bucket=place, Key=key)
            except ClientError as error:
                if _is_no_key(error, key):
                    raise SourceNotFound(
                        f"s3://{place}/{key}: this storage holds no such keys",
                        hint="a key without empty segments, '.' or a '/' in front",
                    ) from error
                raise
        return BlobInfo(
            key,
            answer["ContentLength"],
            answer["ETag"].strip('"'),
            answer.get("ContentType"),
            answer.get("VersionId"),
        )

    def read(
        self,
        key: str,
        *,
        bucket: str | None = None,
        start: int = 0,
        end: int | None = None,
        etag: str | None = None,
        ranged: bool = False,
    ) -> Iterator[bytes]:
        """Yield a range; a broken connection is resumed where it broke."""
        blob = Blob(bucket or self._bucket, key, bucket is None)
        span = Span(start, end, needed=ranged)
        with self._errors(key, bucket, read=True):
            chunks = read_range(self._client, blob, span, etag, self._attempts)
        return self._stream(key, bucket, chunks)

    def path_of(
        self, key: str, *, bucket: str | None = None, etag: str | None = None
    ) -> None:
        """Return None: the blobs are in S3."""

    def _stream(
        self, key: str, bucket: str | None, chunks: Iterator[bytes]
    ) -> Iterator[bytes]:
        with self._errors(key, bucket, read=True):
            yield from chunks

    def writer(self, key: str, *, content_type: str) -> BlobWriter:
        """Return a writer, which uploads in parts (``s3_writer``)."""
        return S3Writer(self, check_key(key), content_type)

    def put(self, key: str, path: Path, *, content_type: str) -> BlobInfo:
        """Store a finished file through the same writer."""
        with self.writer(key, content_type=content_type) as writer:
            with disk_errors(f"reading {path.name}"), path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    writer.write(chunk)
            return writer.commit()

    def put_whole(self, key: str, data: bytearray, content_type: str) -> BlobInfo:
        """Store a small body with one PUT."""
        with self._errors(key):
            answer = self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data,  # type: ignore[arg-type]  # botocore takes a bytearray
                ContentType=content_type,
            )
        etag = answer["ETag"].strip('"')
        return BlobInfo(key, len(data), etag, content_type, answer.get("VersionId"))

    def copy(self, key: str, to: str, *, size: int) -> None:
        """Copy inside the bucket, with type and metadata."""
        source = {"Bucket": self._bucket, "Key": key}
        with self._errors(key):
            self._client.copy_object(
                Bucket=self._bucket,
                Key=check_key(to),
                CopySource=source,  # type: ignore[arg-type]
            )
        if self.head(to).size != size:
            raise SourceNotFound(f"{key} has not the {size} bytes that it had")

    def delete(self, key: str) -> None:
        """Delete one blob."""
        with suppress(SourceNotFound), self._errors(key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def delete_prefix(self, prefix: str) -> int:
        """Delete every blob under a prefix, a thousand with each request."""
        count = 0
        batch: list[str] = []
        for info in self.list(prefix):
            batch.append(info.key)
            if len(batch) == 1000:
                count += self._delete_batch(batch)
                batch = []
        return count + (self._delete_batch(batch) if batch else 0)

    def _delete_batch(self, keys: list[str]) -> int:
        with self._errors(keys[0]):
            answer = self._client.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )
        if failed := answer.get("Errors"):
            key, code = failed[0].get("Key"), failed[0].get("Code")
            raise StorageUnavailable(f"{len(failed)} not deleted: {key} ({code})")
        return len(keys)

    def list(
        self, prefix: str, *, bucket: str | None = None, after: str | None = None
    ) -> Iterator[BlobInfo]:
        """Yield blobs in key order, read page by page."""
        place = bucket or self._bucket
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=place, Prefix=prefix, StartAfter=after or ""
        )
        with self._errors(f"listing s3://{place}/{prefix}", bucket, read=True):
            for page in pages:
                for item in page.get("Contents", []):
                    # Not every storage honours StartAfter.
                    if after is None or item["Key"] > after:
                        etag = item.get("ETag", "").strip('"')
                        yield BlobInfo(item["Key"], item["Size"], etag)

    def grant_get(  # noqa: PLR0913 - all but the key by keyword
        self,
        key: str,
        *,
        content_type: str,
        filename: str,
        seconds: int,
        attachment: bool = False,
        bucket: str | None = None,
        head: bool = False,
    ) -> Grant:
        """Presign a GET (or HEAD) that overrides type and disposition.

        Some stores forget both (rclone, at restart), so they are in every grant.
        """
        wanted = {
            "Bucket": bucket or self._bucket,
            "Key": key,
            "ResponseContentType": content_type,
            "ResponseContentDisposition": content_disposition(
                filename, attachment=attachment
            ),
        }
        call = "head_object" if head else "get_object"
        return self._presign(call, "HEAD" if head else "GET", wanted, seconds)

    def grant_put(
        self, key: str, *, content_type: str, seconds: int, size: int | None = None
    ) -> Grant:
        """Presign a PUT; type and size are signed headers."""
        wanted: dict[str, Any] = {
            "Bucket": self._bucket,
            "Key": check_key(key),
            "ContentType": content_type,
        }
        if size is not None:
            wanted["ContentLength"] = size
        headers = (("Content-Type", content_type),)
        return self._presign("put_object", "PUT", wanted, seconds, headers)

    def _presign(
        self,
        call: str,
        method: str,
        wanted: dict[str, Any],
        seconds: int,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Grant:
        expires_at = int(time.time()) + seconds
        with self._errors(wanted["Key"]):
            url = self._signer.generate_presigned_url(
                call, Params=wanted, ExpiresIn=seconds, HttpMethod=method
            )
        return Grant(method, url, expires_at, headers)

    def export(self, artifact: Artifact, to: Destination, place: ObjectName) -> None:
        """Copy a stored file to a caller's bucket, inside the storage."""
        with self._errors(f"s3://{place.bucket}/{place.key}", place.bucket):
            exporter.export(self._client, self._bucket, artifact, to, place)

    def check(self) -> None:
        """Raise StorageUnavailable if the bucket cannot be reached."""
        what = f"bucket {self._bucket}"
        try:
            with s3_errors(what, own=True):
                try:
                    answer = self._client.head_bucket(Bucket=self._bucket)
                    self._compare_clocks(answer["ResponseMetadata"])
                except ClientError as error:
                    self._compare_clocks(error.response.get("ResponseMetadata", {}))
                    raise
        except SourceNotFound as error:
            raise StorageUnavailable(f"{what}: there is no such bucket") from error

    def clock_skew(self) -> float | None:
        """Return how many seconds our clock was ahead of S3's at the last check."""
        return self._skew

    def _compare_clocks(self, answer: Mapping[str, Any]) -> None:
        date = answer.get("HTTPHeaders", {}).get("date")
        if date:
            # Dates are whole seconds; half a second is the likeliest remainder.
            there = parsedate_to_datetime(date).timestamp() + 0.5
            self._skew = round(time.time() - there, 1)

    @contextmanager
    def _errors(
        self, what: str, bucket: str | None = None, *, read: bool = False
    ) -> Iterator[None]:
        """Raise our errors for boto3's; ``bucket`` None is our own.

        A refusal by a caller's bucket is the caller's fault only while our own bucket
        accepts us: with wrong credentials or a wrong clock, every bucket refuses.
        """
        try:
            with s3_errors(what, read=read, own=bucket is None):
                yield
        except (SourceForbidden, DestinationForbidden):
            self.check()
            raise

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """Open a multipart upload."""
        with self._errors(key):
            return self._client.create_multipart_upload(
                Bucket=self._bucket, Key=check_key(key), ContentType=content_type
            )["UploadId"]

    def put_part(
        self, key: str, ref: str, number: int, data: bytes | bytearray
    ) -> Part:
        """Upload one part."""
        with self._errors(f"part {number} of {key}"):
            try:
                answer = self._client.upload_part(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=ref,
                    PartNumber=number,
                    Body=data,  # type: ignore[arg-type]  # botocore takes a bytearray
                )
            except ClientError as error:
                if code_of(error) != "NotImplemented":
                    raise
                return self._same_part(key, ref, number, data)
        return Part(number, len(data), answer["ETag"].strip('"'))

    def _same_part(
        self, key: str, ref: str, number: int, data: bytes | bytearray
    ) -> Part:
        # rclone streams parts on as they arrive, and cannot replace one.
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        part = Part(number, len(data), etag)
        if part not in self.list_parts(key, ref):
            raise SourceChanged(
                f"part {number} of {key} is stored with other bytes already, and this "
                "storage cannot replace it"
            )
        return part

    def grant_part(
        self, key: str, ref: str, number: int, *, size: int, seconds: int
    ) -> Grant:
        """Presign one part; its size is part of the signature."""
        wanted: dict[str, Any] = {
            "Bucket": self._bucket,
            "Key": key,
            "UploadId": ref,
            "PartNumber": number,
            "ContentLength": size,
        }
        return self._presign("upload_part", "PUT", wanted, seconds)

    def list_parts(self, key: str, ref: str) -> Iterator[Part]:
        """Yield the stored parts."""
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self._bucket, Key=key, UploadId=ref
        )
        with self._errors(f"parts of {key}"):
            for page in pages:
                for item in page.get("Parts", []):
                    yield Part(
                        item["PartNumber"], item["Size"], item["ETag"].strip('"')
                    )

    def join_parts(self, key: str, ref: str, parts: Sequence[Part]) -> BlobInfo:
        """Complete the multipart upload and check the size."""
        named = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with self._errors(key):
            try:
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=ref,
                    MultipartUpload={"Parts": named},  # type: ignore[typeddict-item]
                )
            except ClientError as error:
                if code_of(error) in {"InvalidPart", "InvalidPartOrder"}:
                    raise SourceChanged(f"a part of {key} has changed") from error
                # The answer to an earlier try may be lost: the head below decides.
                if code_of(error) != "NoSuchUpload":
                    raise
        info = self.head(key)
        if info.size != (size := sum(part.size for part in parts)):
            raise StorageUnavailable(f"{key} has {info.size} bytes instead of {size}")
        return info

    def drop_parts(self, key: str, ref: str) -> None:
        """Abort the multipart upload."""
        with suppress(SourceNotFound), self._errors(key):
            self._client.abort_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=ref
            )

    def abandon(self, key: str, ref: str) -> None:
        """Abort an upload while another error is raised; a failure is only logged."""
        try:
            self.drop_parts(key, ref)
        except Unavailable as error:
            _log.warning("multipart_upload_left", key=key, error=error.detail)

    def tidy(self, prefix: str, seconds: float) -> int:
        """Abort multipart uploads under ``prefix`` that are ``seconds`` old or more."""
        limit = datetime.now(UTC) - timedelta(seconds=seconds)
        count = 0
        for item in self._unfinished(prefix):
            if item["Initiated"] < limit:
                self.drop_parts(item["Key"], item["UploadId"])
                count += 1
        return count

    def _unfinished(self, prefix: str) -> Iterator[MultipartUploadTypeDef]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        with self._errors(f"bucket {self._bucket}"):
            try:
                for page in pages:
                    yield from page.get("Uploads", [])
            except ClientError as error:
                # rclone answers so until a bucket has had its first upload. A listing
                # names no upload, so that none was found is all that it can mean.
                if code_of(error) != "NoSuchUpload":
                    raise
