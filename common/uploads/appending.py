"""Appends the bytes of several requests to one upload, on any storage.

Bytes become parts of equal size, as S3 requires. What is left at the end of a request
becomes a blob of its own, whose name contains the writer's fence. The record names that
blob in the same step that moves the offset. So the offset is always true: after a kill
it is that of the last step, and a writer that was replaced by another is refused.
"""

from __future__ import annotations

from common.errors import BodyTooLarge, Conflict, SourceNotFound
from common.storage.port import Part
from common.uploads.sessions import Upload, Uploads


class Appender:
    """Takes the bytes of one request.

    With ``hold`` nothing counts before :meth:`close`, and parts wait as blobs until a
    checksum is verified. (Some storages cannot replace a part.)
    """

    def __init__(self, uploads: Uploads, upload: Upload, *, hold: bool = False) -> None:
        self._uploads = uploads
        self._blobs = uploads.blobs
        self._hold = hold
        self.upload = upload
        self._parts: list[Part] = []
        self._held: list[str] = []
        self._done = len(upload.parts)
        self._offset = upload.offset
        self._buffer = bytearray()
        if upload.rest:
            try:
                for chunk in self._blobs.read(upload.rest):
                    self._buffer += chunk
            except SourceNotFound as error:
                raise Conflict("another request is writing to this upload") from error

    def write(self, chunk: bytes) -> None:
        """Append bytes; raise BodyTooLarge past the announced size, or Conflict."""
        if self._offset + len(chunk) > self.upload.size:
            raise BodyTooLarge(
                f"the upload was announced with {self.upload.size} bytes"
            )
        rest = memoryview(chunk)
        while rest:
            room = self.upload.part_bytes - len(self._buffer)
            self._buffer += rest[:room]
            self._offset += len(rest[:room])
            rest = rest[room:]
            if len(self._buffer) == self.upload.part_bytes:
                self._end_part()

    def close(self) -> Upload:
        """Store the rest and record it; return the upload as it then is."""
        for key in self._held:
            self._put_part(b"".join(self._blobs.read(key)))
        if self._offset == self.upload.size and self._buffer:
            self._put_part(bytes(self._buffer))
            self._buffer.clear()
        if self._offset > self.upload.offset:
            rest = bytes(self._buffer)
            self._save(self._put_rest(rest, str(self._offset)) if rest else "")
        self.discard()
        return self.upload

    def discard(self) -> None:
        """Delete what was held; after a kill it is deleted with the upload."""
        for key in self._held:
            self._blobs.delete(key)
        self._held = []

    def _end_part(self) -> None:
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._hold:
            self._held.append(self._put_rest(data, f"held-{len(self._held)}"))
        else:
            self._put_part(data)
            self._save("")

    def _put_part(self, data: bytes) -> None:
        upload = self.upload
        number = self._done + 1
        self._parts.append(
            self._blobs.put_part(upload.key, upload.ref or "", number, data)
        )
        self._done = number

    def _put_rest(self, data: bytes, name: str) -> str:
        key = f"in/{self.upload.id}/rest-{self.upload.fence}-{name}"
        kind = "application/octet-stream"
        with self._blobs.writer(key, content_type=kind) as writer:
            writer.write(data)
            writer.commit()
        return key

    def _save(self, rest: str) -> None:
        older = self.upload.rest
        self.upload = self._uploads.save(self.upload, self._offset, self._parts, rest)
        self._parts = []
        if older and older != rest:
            # A kill before this leaves a blob under in/{id}/, swept with the upload.
            self._blobs.delete(older)
