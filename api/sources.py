"""The sources that a JSON body can name, checked as far as a request can."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from api.guard import Principal
from api.schema import S3Source, SourceRequest
from common.blobs.names import display_name
from common.errors import Forbidden, Invalid, NotFound
from common.model import Source
from common.runtime import Runtime
from common.uploads import Uploads

_OWN_KEYS = re.compile(r"(in|out)/[0-9a-f]{32}/")
_URL = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Sources:
    """Finds what a request names as its source."""

    runtime: Runtime
    uploads: Uploads

    def resolve(self, asked: SourceRequest, who: Principal) -> Source:
        """Give the source; raises Invalid, Forbidden or Conflict."""
        if asked.s3 is not None:
            return self._object(asked.s3, who)
        if asked.url is not None:
            return self._address(asked.url)
        if asked.upload is not None:
            return self._upload(asked.upload, who)
        return self._job(asked.job or "", who)

    def _object(self, asked: S3Source, who: Principal) -> Source:
        own = self.runtime.settings.blobs.bucket
        if asked.bucket == own and _OWN_KEYS.match(asked.key):
            raise Invalid.one(
                "/source/s3/key",
                "this key belongs to another job",
                'keys "in/JOB/..." and "out/JOB/..." of our own bucket are no sources',
            )
        allowed = who.allowance
        if allowed.buckets and asked.bucket not in allowed.buckets:
            raise Forbidden(
                f"this API key may not read the bucket {asked.bucket!r}",
                pointer="/source/s3/bucket",
            )
        if allowed.prefixes and not asked.key.startswith(allowed.prefixes):
            raise Forbidden(
                "this API key may not read that key", pointer="/source/s3/key"
            )
        name = display_name(PurePosixPath(asked.key).name)
        return Source(kind="s3", bucket=asked.bucket, key=asked.key, name=name)

    def _address(self, url: str) -> Source:
        """Check the form only: the worker's one door judges where it leads."""
        settings = self.runtime.settings
        if not settings.source.urls:
            raise Invalid.one(
                "/source/url",
                "this service takes no sources by URL",
                "the setting is FRAMEMILL_SOURCE_URLS",
            )
        schemes = ("https", "http") if settings.egress.http else ("https",)
        try:
            parts = urlsplit(url)
            fits = parts.scheme in schemes and bool(parts.hostname)
            fits = fits and parts.username is None and parts.port != 0
        except ValueError:
            fits = False
        if not fits or not _URL.fullmatch(url):
            raise Invalid.one(
                "/source/url",
                "the URL is not one that can be fetched",
                f"{' or '.join(schemes)}, with a host, without user and password, "
                "percent-encoded",
            )
        name = display_name(unquote(PurePosixPath(parts.path).name))
        return Source(kind="url", url=url, name=name)

    def _upload(self, upload_id: str, who: Principal) -> Source:
        try:
            upload = self.uploads.get(upload_id, who.owner)
        except NotFound as error:
            raise _unknown("upload") from error
        # Crash window: from here on the upload no longer keeps the blob, and the job
        # does not yet. It is reserved: the sweep takes what no job has taken.
        seconds = self.runtime.settings.retention.upload_hours * 3600
        self.runtime.store.reserve_blob(upload.key, seconds)
        return self.uploads.use(upload)

    def _job(self, job_id: str, who: Principal) -> Source:
        try:
            job = self.runtime.intake.get(job_id, who.owner)
        except NotFound as error:
            raise _unknown("job") from error
        if not job.source_kept:
            raise Invalid.one("/source/job", "the source of this job is not kept")
        return job.source


def _unknown(kind: str) -> Invalid:
    return Invalid.one(f"/source/{kind}", f"there is no such {kind}")
