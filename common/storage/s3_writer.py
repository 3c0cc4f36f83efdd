"""Writes a stream of unknown length to S3 in bounded memory.

One 8 MiB part is filled while at most two are being sent, whatever the length. A body
smaller than one part takes a single PUT. Nothing is visible before commit. A failure
aborts the multipart upload, so no part is left to be paid for. (A killed process
leaves parts behind: ``S3Store.tidy`` and a rule of the bucket remove them.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

from common.errors import BodyTooLarge
from common.storage.observed import observed
from common.storage.port import MAX_PARTS, PART_BYTES, BlobInfo, Part

_IN_FLIGHT = 2


class Target(Protocol):
    """What the writer needs of the store."""

    def put_whole(self, key: str, data: bytearray, content_type: str) -> BlobInfo:
        """Store a small body with one PUT."""

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """Open a multipart upload."""

    def put_part(
        self, key: str, ref: str, number: int, data: bytes | bytearray
    ) -> Part:
        """Upload one part."""

    def join_parts(self, key: str, ref: str, parts: Sequence[Part]) -> BlobInfo:
        """Complete the multipart upload."""

    def abandon(self, key: str, ref: str) -> None:
        """Abort the upload; never raises Unavailable."""


@observed
class S3Writer:
    """A BlobWriter; see the module's docstring."""

    def __init__(self, store: Target, key: str, content_type: str) -> None:
        self._store = store
        self._key = key
        self._type = content_type
        self._buffer = bytearray()
        self._ref: str | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: list[Future[Part]] = []
        self._parts: list[Part] = []
        self._committed = False

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes; wait while two parts are being sent."""
        rest = memoryview(chunk)
        while rest:
            room = PART_BYTES - len(self._buffer)
            self._buffer += rest[:room]
            rest = rest[room:]
            if len(self._buffer) == PART_BYTES:
                self._send_part()

    def commit(self) -> BlobInfo:
        """Store the rest and make the blob visible."""
        if self._ref is None:
            info = self._store.put_whole(self._key, self._buffer, self._type)
        else:
            if self._buffer:
                self._send_part()
            self._await(0)
            info = self._store.join_parts(self._key, self._ref, self._parts)
        self._committed = True
        return info

    def _send_part(self) -> None:
        number = len(self._parts) + len(self._waiting) + 1
        if number > MAX_PARTS:
            raise BodyTooLarge(f"over {MAX_PARTS} parts of {PART_BYTES} bytes")
        if self._ref is None:
            self._ref = self._store.begin_parts(self._key, content_type=self._type)
            self._pool = ThreadPoolExecutor(_IN_FLIGHT, "s3-part")
        self._await(_IN_FLIGHT - 1)
        put: Callable[..., Part] = self._store.put_part
        assert self._pool is not None  # noqa: S101 - made with the ref
        data, self._buffer = self._buffer, bytearray()
        future = self._pool.submit(put, self._key, self._ref, number, data)
        self._waiting.append(future)

    def _await(self, left: int) -> None:
        while len(self._waiting) > left:
            self._parts.append(self._waiting.pop(0).result())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._buffer = bytearray()
        if self._pool is not None:
            # A part that arrives after the abort would stay for ever, so wait for it.
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._ref is not None and not self._committed:
            self._store.abandon(self._key, self._ref)
