"""Stores blobs in a folder, for one machine and for tests.

A blob is a plain file whose path is its key; ``.tmp`` and ``.parts`` under the same
root hold what is unfinished, and no key can begin with a dot. A write is a temporary
file, fsync, and a rename: a reader sees all of it or nothing. The ETag is
``inode-size-mtime_ns``: every write makes a new inode, so it identifies the content
without reading it (a restored backup has other ETags). Content types are not stored;
each grant carries its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from common.errors import (
    DestinationForbidden,
    SourceChanged,
    SourceForbidden,
    SourceNotFound,
)
from common.model import Artifact, Destination, ObjectName
from common.settings.load import Settings
from common.storage.local_files import (
    LocalWriter,
    file_etag,
    open_pinned,
    read_chunks,
    slashed,
    sync_folder,
)
from common.storage.names import check_key, content_disposition
from common.storage.observed import observed
from common.storage.port import CHUNK_BYTES, BlobInfo, Grant, Part, disk_errors
from common.storage.signing import sign

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_REF = re.compile(r"[0-9a-f]{32}")
_PART = re.compile(r"(\d{5})-([0-9a-f]{32})")


def local_base(settings: Settings) -> str:
    """Return the address that local grants begin with, without a final slash."""
    if settings.api.public_url:
        return settings.api.public_url.rstrip("/")
    host = settings.api.host
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api.port}"


@observed
class LocalStore:
    """The BlobStore over one folder; see the module's docstring."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.blobs.path.absolute()
        self._bucket = settings.blobs.bucket
        self._secret = settings.api.secret
        self._base = local_base(settings)
        self._temp = self._root / ".tmp"
        self._parts = self._root / ".parts"

    def path(self, key: str, *, bucket: str | None = None) -> Path:
        """Return the file of a key; raises SourceNotFound, SourceForbidden."""
        if bucket is not None and bucket != self._bucket:
            raise SourceForbidden(
                f"bucket {bucket!r} is not kept here", hint=f"use {self._bucket!r}"
            )
        return self._root / check_key(key)

    def temp_path(self) -> Path:
        """Return a new name on the same file system."""
        with disk_errors("making a temporary file"):
            self._temp.mkdir(parents=True, exist_ok=True)
        return self._temp / uuid4().hex

    def publish(self, temp: Path, key: str) -> BlobInfo:
        """Rename a finished file to its key, durably."""
        path = self.path(key)
        stat = temp.stat()
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temp.replace(path)
                break
            except FileNotFoundError:
                # A concurrent delete removed the empty folder before the rename.
                if not temp.exists():
                    raise
        sync_folder(path.parent)
        return BlobInfo(key, stat.st_size, file_etag(stat))

    def admits(self, key: str, *, bucket: str | None = None) -> bool:
        """Return whether a file can have this name, in whatever bucket."""
        del bucket
        with suppress(SourceNotFound):
            return bool(check_key(key))
        return False

    def head(self, key: str, *, bucket: str | None = None) -> BlobInfo:
        """Return size and ETag of a blob."""
        with self._open(key, bucket, None) as file:
            stat = os.fstat(file.fileno())
        return BlobInfo(key, stat.st_size, file_etag(stat))

    def _open(self, key: str, bucket: str | None, etag: str | None) -> BinaryIO:
        path = self.path(key, bucket=bucket)
        with disk_errors(f"opening {key}"):
            try:
                return open_pinned(path, key, etag)
            except _ABSENT as error:
                raise SourceNotFound(f"no blob {key}") from error

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
        """Yield a range of a blob; it is always honoured, whatever ``ranged`` says."""
        del ranged
        file = self._open(key, bucket, etag)
        return read_chunks(file, key, start, end)

    def path_of(
        self, key: str, *, bucket: str | None = None, etag: str | None = None
    ) -> Path:
        """Return the blob's file."""
        self._open(key, bucket, etag).close()
        return self.path(key, bucket=bucket)

    def _link(self, key: str, path: Path) -> int:
        """Hard-link a blob to ``path``, or copy it if that is not possible."""
        with self._open(key, None, None) as file, disk_errors(f"copying {key}"):
            stat = os.fstat(file.fileno())
            with suppress(OSError):
                path.hardlink_to(self.path(key))
                if path.stat().st_ino == stat.st_ino:
                    return stat.st_size
            path.unlink(missing_ok=True)
            with path.open("xb") as target:
                shutil.copyfileobj(file, target, CHUNK_BYTES)
        return stat.st_size

    def writer(self, key: str, *, content_type: str) -> LocalWriter:
        """Return a writer; ``content_type`` is left to the grants."""
        del content_type
        return LocalWriter(self.temp_path(), check_key(key), self.publish)

    def put(self, key: str, path: Path, *, content_type: str) -> BlobInfo:
        """Store a copy of a finished file."""
        with self.writer(key, content_type=content_type) as writer:
            with disk_errors(f"reading {path.name}"), path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    writer.write(chunk)
            return writer.commit()

    def copy(self, key: str, to: str, *, size: int) -> None:
        """Link the file under a second key; files are never written again."""
        temp = self.temp_path()
        try:
            if self._link(key, temp) != size:
                raise SourceNotFound(f"{key} has not the {size} bytes that it had")
            with disk_errors(f"copying {key}"):
                self.publish(temp, check_key(to))
        finally:
            temp.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        """Delete one blob and the folders that it leaves empty."""
        path = self.path(key)
        with disk_errors(f"deleting {key}"), suppress(*_ABSENT):
            path.unlink()
        for folder in path.parents:
            if folder == self._root:
                break
            try:
                folder.rmdir()
            except OSError:
                break  # not empty, or gone already

    def delete_prefix(self, prefix: str) -> int:
        """Delete every blob whose key starts with ``prefix``."""
        keys = [info.key for info in self.list(prefix)]
        for key in keys:
            self.delete(key)
        return len(keys)

    def list(
        self, prefix: str, *, bucket: str | None = None, after: str | None = None
    ) -> Iterator[BlobInfo]:
        """Yield blobs in key order, without those deleted meanwhile."""
        if bucket is not None:
            self.path("any", bucket=bucket)
        with disk_errors(f"listing {prefix}"):
            for info in self._walk(self._root, "", prefix):
                if after is None or info.key > after:
                    yield info

    def _walk(self, folder: Path, above: str, prefix: str) -> Iterator[BlobInfo]:
        with suppress(*_ABSENT), os.scandir(folder) as entries:
            # "a-b" sorts before "a/b": a folder counts with its slash.
            found = sorted((above + slashed(e), e) for e in entries if e.name[0] != ".")
            for key, entry in found:
                if key.endswith("/"):
                    if key.startswith(prefix) or prefix.startswith(key):
                        yield from self._walk(folder / entry.name, key, prefix)
                elif key.startswith(prefix):
                    with suppress(*_ABSENT):
                        stat = entry.stat()
                        yield BlobInfo(key, stat.st_size, file_etag(stat))

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
        """Sign a link to the API's ``/blobs/``; it answers GET and HEAD alike."""
        self.path(key, bucket=bucket)
        shown = content_disposition(filename, attachment=attachment)
        return self._grant(
            "HEAD" if head else "GET",
            "get",
            key,
            seconds,
            {"t": content_type, "d": shown},
        )

    def grant_put(
        self, key: str, *, content_type: str, seconds: int, size: int | None = None
    ) -> Grant:
        """Sign a link that takes one upload of that type (and size)."""
        self.path(key)
        terms = {"t": content_type} | ({} if size is None else {"b": str(size)})
        headers = (("Content-Type", content_type),)
        return self._grant("PUT", "put", key, seconds, terms, headers)

    def _grant(
        self,
        method: str,
        purpose: str,
        key: str,
        seconds: int,
        terms: dict[str, str],
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Grant:
        expires_at = int(time.time()) + seconds
        path = f"/blobs/{key}"
        link = sign(self._secret, purpose, path, expires_at, terms)
        return Grant(method, self._base + link, expires_at, headers)

    def export(self, artifact: Artifact, to: Destination, place: ObjectName) -> None:
        """Raise DestinationForbidden: a folder has no buckets."""
        del to
        raise DestinationForbidden(
            f"{artifact.name} cannot be copied to bucket {place.bucket!r}: "
            "files are kept in a folder here",
            hint="FRAMEMILL_BLOBS_BACKEND=s3",
        )

    def check(self) -> None:
        """Raise StorageUnavailable if the folder cannot be written."""
        with disk_errors(f"checking {self._root.name}"):
            temp = self.temp_path()
            temp.write_bytes(b"ok")
            temp.unlink()

    def clock_skew(self) -> float | None:
        """Return None: the folder's clock is ours."""
        return None

    def tidy(self, prefix: str, seconds: float) -> int:
        """Delete temporary files and unfinished parts that are ``seconds`` old or more.

        Nobody else writes into this folder, so ``prefix`` does not matter.
        """
        del prefix
        limit = time.time() - seconds
        count = 0
        with disk_errors("tidying"):
            for temp in self._temp.glob("*"):
                with suppress(FileNotFoundError):
                    if temp.stat().st_mtime < limit:
                        temp.unlink()
                        count += 1
            for folder in self._parts.glob("*"):
                with suppress(FileNotFoundError):
                    if folder.stat().st_mtime < limit:
                        shutil.rmtree(folder)
                        count += 1
        return count

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """Open an upload: a folder named by its ``ref``."""
        del content_type
        self.path(key)
        ref = uuid4().hex
        with disk_errors(f"beginning {key}"):
            (self._parts / ref).mkdir(parents=True)
        return ref

    def _part_folder(self, key: str, ref: str) -> Path:
        folder = self._parts / ref
        if not _REF.fullmatch(ref) or not folder.is_dir():
            raise SourceNotFound(f"no unfinished upload of {key} under that reference")
        return folder

    def put_part(self, key: str, ref: str, number: int, data: bytes) -> Part:
        """Store one part; its ETag is the MD5 of its bytes, as on S3."""
        folder = self._part_folder(key, ref)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        temp = self.temp_path()
        try:
            with disk_errors(f"writing part {number} of {key}"):
                with temp.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                older = list(folder.glob(f"{number:05d}-*"))
                target = folder / f"{number:05d}-{etag}"
                temp.replace(target)
                for path in older:
                    if path != target:
                        path.unlink(missing_ok=True)
        finally:
            temp.unlink(missing_ok=True)
        return Part(number, len(data), etag)

    def grant_part(
        self, key: str, ref: str, number: int, *, size: int, seconds: int
    ) -> Grant:
        """Sign a link that takes one part."""
        self._part_folder(key, ref)
        terms = {"r": ref, "n": str(number), "b": str(size)}
        return self._grant("PUT", "part", key, seconds, terms)

    def list_parts(self, key: str, ref: str) -> Iterator[Part]:
        """Yield the parts; of two with the same number the later counts."""
        found: dict[int, tuple[int, Part]] = {}
        for path in self._part_folder(key, ref).iterdir():
            if match := _PART.fullmatch(path.name):
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    part = Part(int(match[1]), stat.st_size, match[2])
                    found[part.number] = max(
                        found.get(part.number, (-1, part)),
                        (stat.st_mtime_ns, part),
                        key=lambda pair: pair[0],
                    )
        return iter([found[number][1] for number in sorted(found)])

    def join_parts(self, key: str, ref: str, parts: Sequence[Part]) -> BlobInfo:
        """Copy the parts one after the other, then rename the file to its key."""
        folder = self._part_folder(key, ref)
        with self.writer(key, content_type="") as writer:
            for part in parts:
                path = folder / f"{part.number:05d}-{part.etag}"
                if not path.exists():
                    raise SourceChanged(f"part {part.number} of {key} has changed")
                with disk_errors(f"joining {key}"), path.open("rb") as file:
                    shutil.copyfileobj(file, writer, CHUNK_BYTES)
            info = writer.commit()
        self.drop_parts(key, ref)
        return info

    def drop_parts(self, key: str, ref: str) -> None:
        """Delete the upload's folder."""
        with suppress(SourceNotFound), disk_errors(f"dropping {key}"):
            shutil.rmtree(self._part_folder(key, ref))
