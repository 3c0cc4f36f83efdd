"""The sources that a JSON body can name, checked as far as possible in a request."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from api.http.services import Services
from api.jobs.schemas import S3Source, SourceRequest
from common.access.principal import Principal
from common.errors import Forbidden, Invalid, NotFound
from common.model import Source
from common.storage.dispositions import url_name
from common.storage.names import display_name, is_own

_URL = re.compile(r"[\x21-\x7e]+")


def resolve_source(
    services: Services, requested: SourceRequest, who: Principal, where: str = "/source"
) -> Source:
    """Return the source that a request names at ``where`` in its body.

    Raises Invalid, Forbidden or Conflict.
    """
    if requested.s3 is not None:
        return _object(services, requested.s3, who, f"{where}/s3")
    if requested.url is not None:
        return _address(services, requested.url, f"{where}/url")
    if requested.upload is not None:
        return _upload(services, requested.upload, who, f"{where}/upload")
    return _job(services, requested.job or "", who, f"{where}/job")


def _object(
    services: Services, requested: S3Source, who: Principal, where: str
) -> Source:
    own = services.runtime.settings.blobs.bucket
    if requested.bucket == own and is_own(requested.key):
        raise Invalid.one(
            f"{where}/key",
            "this key belongs to another job of this service",
            "in the service's own bucket, keys under in/ and out/ and manifests "
            "(jobs/ID.json, keys/ID.json) cannot be sources; "
            'name that job: {"job": ID}',
        )
    check_place(requested.bucket, requested.key, who, where, "key")
    if not services.runtime.blobs.admits(requested.key, bucket=requested.bucket):
        raise Invalid.one(
            f"{where}/key",
            "the storage of this service cannot hold this key",
            "segments between slashes must not be empty or '.'; a service that keeps "
            "its files in a folder also refuses segments that begin with a dot, "
            "contain a backslash or have over 255 bytes",
        )
    name = display_name(requested.key.rpartition("/")[2])
    return Source(
        kind="s3",
        bucket=requested.bucket,
        key=requested.key,
        name=name,
        etag=requested.etag and requested.etag.strip('"'),
        version=requested.version,
    )


def check_place(
    bucket: str, key: str, who: Principal, where: str, name: str = "prefix"
) -> None:
    """Raise Forbidden unless the caller's API key may read there.

    ``key`` is one object's or begins many, and stands at ``where/name``.
    """
    allowed = who.allowance
    if allowed.buckets and bucket not in allowed.buckets:
        raise Forbidden(
            f"this API key may not read the bucket {bucket!r}",
            pointer=f"{where}/bucket",
            hint="it may read: " + ", ".join(allowed.buckets),
        )
    if allowed.prefixes and not key.startswith(allowed.prefixes):
        raise Forbidden(
            f"this API key may not read this {name}",
            pointer=f"{where}/{name}",
            hint="it may read: " + ", ".join(allowed.prefixes),
        )


def _address(services: Services, url: str, where: str) -> Source:
    """Check the form only: the worker checks the address that it leads to."""
    settings = services.runtime.settings
    if not settings.source.urls:
        raise Invalid.one(
            where,
            "this service does not fetch sources from URLs",
            "upload the file; the operator allows URLs by FRAMEMILL_SOURCE_URLS=true",
        )
    schemes = sorted(settings.egress.schemes, reverse=True)
    try:
        parts = urlsplit(url)
        fits = parts.scheme in schemes and bool(parts.hostname)
        fits = fits and parts.username is None and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not _URL.fullmatch(url):
        raise Invalid.one(
            where,
            "this URL cannot be fetched",
            f"it needs {' or '.join(schemes)} and a host, no user or password, and "
            "percent-encoding",
        )
    name = display_name(url_name(parts.path))
    return Source(kind="url", url=url, name=name)


def _upload(services: Services, upload_id: str, who: Principal, where: str) -> Source:
    try:
        upload = services.uploads.get(upload_id, who.owner)
    except NotFound as error:
        raise _unknown("upload", where) from error
    # Crash window: from here on the upload no longer keeps the blob, and the job
    # does not yet. It is reserved, and removed later unless a job has it by then.
    seconds = services.runtime.settings.retention.upload_hours * 3600
    services.runtime.store.reserve_blob(upload.key, seconds)
    return services.uploads.use(upload)


def _job(services: Services, job_id: str, who: Principal, where: str) -> Source:
    try:
        job = services.runtime.jobs.get(job_id, who.owner)
    except NotFound as error:
        raise _unknown("job", where) from error
    if not job.source_kept:
        raise Invalid.one(
            where,
            "the source of this job is no longer kept",
            "name a job that has not expired, or upload the source again",
        )
    if job.source.kind == "s3":
        # Another key of this owner may have submitted it, or this key when it had
        # more rights.
        bucket, key = job.source.bucket or "", job.source.key or ""
        try:
            check_place(bucket, key, who, where)
        except Forbidden as error:
            raise Forbidden(
                "this API key may not read the source of that job",
                pointer=where,
                hint="it is outside the key's buckets or prefixes",
            ) from error
    if job.source.kind == "url":
        # Nothing of it was kept: the URL is read again, if that is still allowed.
        _address(services, job.source.url or "", where)
    return job.source


def _unknown(kind: str, where: str) -> Invalid:
    return Invalid.one(where, f"there is no such {kind}")
