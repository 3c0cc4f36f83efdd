"""Uploads over several requests: a record in Redis, and the bytes in the storage.

The record says what has been received. The bytes lie in the storage, as parts under
``ref`` or whole under ``key``. An upload's id is also the id of the job that may be
attached to it, and its blob is that job's source.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast

import redis

from common.access.quota import QUOTA_LUA, DailyQuota, quota_used_up
from common.errors import (
    BodyTooLarge,
    Conflict,
    Invalid,
    NotFound,
    SourceChanged,
    SourceNotFound,
    TooManyRequests,
)
from common.model import Source
from common.redis.client import open_client
from common.redis.errors import mapped
from common.redis.scripts import load_script
from common.settings.load import Settings
from common.storage.port import MAX_PARTS, PART_BYTES, BlobInfo, BlobStore, Part

Mode = Literal["put", "parts", "tus"]
RETRY_AFTER_FULL = 30
MIN_SPLIT_BYTES = 4 * PART_BYTES
_MIB = 1024 * 1024
SCRIPT_FILES = (QUOTA_LUA, Path(__file__).with_name("uploads.lua"))


@dataclass(frozen=True)
class Upload:
    """One upload. ``job`` is a submission that becomes a job when the upload ends.

    ``size``, ``offset`` and ``part_bytes`` are in bytes, ``expires_at`` in Unix ms.
    ``rest`` is the key of a blob with the bytes after the last whole part.
    """

    id: str
    owner: str
    mode: Mode
    key: str
    size: int
    part_bytes: int
    content_type: str
    name: str | None = None
    ref: str | None = None
    job: dict[str, Any] | None = None
    label: str = ""
    state: Literal["open", "complete"] = "open"
    offset: int = 0
    parts: tuple[Part, ...] = ()
    rest: str = ""
    fence: int = 0
    etag: str = ""
    used: bool = False
    expires_at: int = 0

    @property
    def count(self) -> int:
        """Return how many parts there will be."""
        return max(1, -(-self.size // self.part_bytes))

    def part_size(self, number: int) -> int:
        """Return the size of one part in bytes; all but the last are equal."""
        left = self.size - (number - 1) * self.part_bytes
        return min(self.part_bytes, left)

    def source(self) -> Source:
        """Return the source of a job that is made from this upload."""
        return Source(
            kind="upload",
            key=self.key,
            upload_id=self.id,
            name=self.name,
            size=self.size,
            etag=self.etag,
            content_type=self.content_type,
        )


@dataclass(frozen=True)
class NewUpload:
    """What a caller announces; ``label`` is stored and returned unchanged."""

    owner: str
    mode: Mode
    size: int
    content_type: str
    name: str | None = None
    job: dict[str, Any] | None = None
    label: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Uploads:
    """Creates, continues and ends uploads; every call may raise StoreUnavailable."""

    def __init__(
        self, settings: Settings, client: redis.Redis, blobs: BlobStore
    ) -> None:
        self._settings = settings
        self.blobs = blobs
        self._prefix = settings.store.prefix
        self._script = load_script(client, SCRIPT_FILES)

    @classmethod
    def connect(cls, settings: Settings, blobs: BlobStore) -> Self:
        """Return the uploads of the settings' job store; it connects on first use."""
        return cls(settings, open_client(settings), blobs)

    def create(
        self,
        new: NewUpload,
        most: int | None = None,
        quota: DailyQuota | None = None,
    ) -> Upload:
        """Open an upload, of at most ``most`` that its owner has not finished.

        Its job counts against the ``quota`` from now on; :meth:`drop` gives that back
        unless the job has begun. Raises BodyTooLarge, TooManyRequests, or what the blob
        store raises.
        """
        if new.size > (limit := self._settings.limits.source_bytes):
            raise BodyTooLarge(
                f"{new.size} bytes are over the limit for a source",
                pointer="/size",
                hint=f"at most {limit} bytes (FRAMEMILL_LIMITS_SOURCE_BYTES)",
            )
        key = f"in/{new.id}/source"
        ref = None
        if new.mode != "put":
            ref = self.blobs.begin_parts(key, content_type=new.content_type)
        # Crash window: a ref without a record; the janitor removes it (BlobStore.tidy).
        doc = {
            **asdict(new),
            "key": key,
            "ref": ref,
            "part_bytes": part_bytes(new.size),
        }
        found = self._call(
            "create",
            new.id,
            doc=json.dumps(doc),
            most=most,
            quota_key=quota and quota.key_id,
            quota_jobs=quota and quota.jobs,
        )
        if found["answer"] == "ok":
            return _read(found["record"])
        if ref is not None:
            self.blobs.drop_parts(key, ref)
        if found["answer"] == "day" and quota is not None:
            raise quota_used_up(quota, int(found["wait"]))
        raise _full(most or 0)

    def get(self, upload_id: str, owner: str | None) -> Upload:
        """Read an upload; raise NotFound if there is none or it is another owner's."""
        upload = self._record("get", upload_id)
        if owner is not None and upload.owner != owner:
            raise _gone(upload_id)
        return upload

    def take(self, upload: Upload, offset: int) -> Upload:
        """Become the writer, at ``offset``; raise Conflict if that is not the end."""
        return self._record("take", upload.id, offset=offset, token=uuid.uuid4().hex)

    def save(self, upload: Upload, to: int, parts: list[Part], rest: str) -> Upload:
        """Move the offset to ``to``; raise Conflict if another writer took over."""
        return self._record(
            "save",
            upload.id,
            **{"from": upload.offset},
            to=to,
            fence=upload.fence,
            parts=json.dumps([asdict(part) for part in parts]),
            rest=rest,
        )

    def finish(self, upload: Upload, etags: Mapping[int, str] | None = None) -> Upload:
        """Make the blob visible, check it and close the upload; may be repeated.

        ``etags`` are those that the caller got for its parts (number 1 for a single
        PUT). Raises Conflict if bytes are missing, and Invalid if they are others.
        """
        if upload.state == "complete":
            return upload
        info = self._blob(upload, etags or {})
        if info.size != upload.size:
            raise _wrong(f"received {info.size} bytes instead of {upload.size}")
        closed = self._record("close", upload.id, etag=info.etag)
        if upload.mode == "tus":
            self.blobs.delete_prefix(f"in/{upload.id}/rest-")
        return closed

    def _blob(self, upload: Upload, etags: Mapping[int, str]) -> BlobInfo:
        try:
            if upload.ref is None:
                info = self.blobs.head(upload.key)
                _compare(1, info.etag, etags)
                return info
            return self._join(upload, upload.ref, etags)
        except SourceNotFound as error:
            # An earlier call joined the parts and died before it could record that.
            with suppress(SourceNotFound):
                return self.blobs.head(upload.key)
            raise Conflict("nothing was uploaded yet", hint="PUT the bytes") from error
        except SourceChanged as error:
            raise _wrong(error.detail) from error

    def _join(self, upload: Upload, ref: str, etags: Mapping[int, str]) -> BlobInfo:
        if upload.size == 0:
            with self.blobs.writer(
                upload.key, content_type=upload.content_type
            ) as writer:
                return writer.commit()
        if upload.mode == "tus":
            parts = list(upload.parts)
        else:
            parts = list(self.blobs.list_parts(upload.key, ref))
        have = {part.number: part for part in parts}
        for number in range(1, upload.count + 1):
            if number not in have:
                raise Conflict(f"part {number} of {upload.count} was not uploaded")
            if have[number].size != (size := upload.part_size(number)):
                raise _wrong(
                    f"part {number} has {have[number].size} bytes instead of {size}"
                )
            _compare(number, have[number].etag, etags)
        return self.blobs.join_parts(upload.key, ref, parts)

    def use(self, upload: Upload) -> Source:
        """Hand the blob to a job, whose retention it then has; return the source."""
        if upload.state != "complete":
            raise Conflict(f"upload {upload.id} is not complete")
        return self._record("use", upload.id).source()

    def drop(self, upload: Upload) -> None:
        """Delete the upload, and its bytes unless a job has them."""
        if upload.ref is not None:
            self.blobs.drop_parts(upload.key, upload.ref)
        if not upload.used:
            self.blobs.delete_prefix(f"in/{upload.id}/")
        self._call("drop", upload.id)

    def sweep(self, limit: int = 100) -> int:
        """Drop uploads past their expiry; return how many."""
        expired = self._call("expired", "", limit=limit)
        for upload_id in expired:
            try:
                self.drop(self._record("get", upload_id))
            except NotFound:
                self._call("drop", upload_id)
        return len(expired)

    def _record(self, step: str, upload_id: str, **arguments: Any) -> Upload:
        found = self._call(step, upload_id, **arguments)
        if found["answer"] == "gone" or "doc" not in found["record"]:
            raise _gone(upload_id)
        upload = _read(found["record"])
        if found["answer"] == "offset":
            raise Conflict(
                f"the upload is at byte {upload.offset}, not {arguments['offset']}",
                hint=f"continue at {upload.offset}",
            )
        if found["answer"] == "stale":
            raise Conflict("another request is writing to this upload")
        return upload

    def _call(self, step: str, upload_id: str, **arguments: Any) -> Any:
        keep_ms = round(self._settings.retention.upload_hours * 3_600_000)
        given = {"id": upload_id, "keep_ms": keep_ms, **arguments}
        given = {name: value for name, value in given.items() if value is not None}
        keys = [f"{self._prefix}upload:{upload_id}", f"{self._prefix}uploads"]
        with mapped():
            answer = self._script(keys=keys, args=[step, json.dumps(given)])
        return json.loads(cast("str", answer))


def part_bytes(size: int) -> int:
    """Return the size of parts: 8 MiB, or more if 10,000 parts are too few."""
    least = -(-size // MAX_PARTS)
    return max(PART_BYTES, -(-least // _MIB) * _MIB)


def _read(record: dict[str, str]) -> Upload:
    doc = json.loads(record["doc"])
    return Upload(
        **doc,
        state=cast("Literal['open', 'complete']", record["state"]),
        offset=int(record["offset"]),
        parts=tuple(Part(**part) for part in json.loads(record["parts"])),
        rest=record["rest"],
        fence=int(record["fence"]),
        etag=record["etag"],
        used=bool(record["used"]),
        expires_at=int(float(record.get("expires_at") or 0)),
    )


def _compare(number: int, etag: str, etags: Mapping[int, str]) -> None:
    told = etags.get(number)
    if told is not None and told.strip('"') != etag:
        raise _wrong(f"the ETag of part {number} is {etag}, not {told}")


def _full(most: int) -> TooManyRequests:
    refusal = TooManyRequests(
        f"this API key has {most} unfinished uploads, which is its limit",
        retry_after=RETRY_AFTER_FULL,
        hint="complete or abort some (FRAMEMILL_LIMITS_UPLOADS_AT_ONCE, or "
        "--uploads-at-once of the key)",
    )
    refusal.quota = ("uploads-at-once", most)
    return refusal


def _gone(upload_id: str) -> NotFound:
    return NotFound(f"there is no upload {upload_id[:64]!r}")


def _wrong(detail: str) -> Invalid:
    return Invalid.one("", detail, "abort this upload and start a new one")
