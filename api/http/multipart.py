"""multipart/form-data read as a stream: one file, a few small fields.

The file goes to a BlobWriter as it comes, hashed and counted on the way; nothing is
spooled, and memory does not grow with the body. The blob becomes visible only when
the whole body was well-formed. A client that breaks off leaves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field

from werkzeug.datastructures import Headers
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import (
    Data,
    Field,
    File,
    MultipartDecoder,
    NeedData,
    Preamble,
)

from api.http.body import Readable, read_chunk
from common.errors import BadRequest, BodyTooLarge, Invalid
from common.settings.sections import Limits
from common.storage.dispositions import disposition_name, repaired
from common.storage.names import display_name
from common.storage.port import BlobInfo, BlobWriter

FILE = "file"
DEFAULT_TYPE = "application/octet-stream"
_READ_BYTES = 128 * 1024
_HEADER_BYTES = 16 * 1024
_BOUNDARY_BYTES = 200
# White space that senders may put after a boundary; more is refused as malformed.
_PADDING_BYTES = 64


@dataclass(frozen=True)
class ReceivedFile:
    """The stored file; ``name`` is for display only."""

    blob: BlobInfo
    sha256: str
    name: str | None
    content_type: str


@dataclass(frozen=True)
class Form:
    """The parts of the body."""

    file: ReceivedFile | None
    fields: dict[str, str]


def receive(
    body: Readable,
    content_type: str,
    *,
    open_writer: Callable[[str], BlobWriter],
    known: Collection[str],
    limits: Limits,
) -> Form:
    """Read a multipart body; ``open_writer`` gets the file's content type.

    Raises BadRequest when the body is malformed or ends early, Invalid for a repeated
    part, one that is neither ``file`` nor in ``known``, or a ``file`` with neither
    filename nor type (curl's ``file=clip.mp4``, without the @), BodyTooLarge over
    ``limits.source_bytes`` or ``limits.field_bytes``, and what the writer raises.
    """
    with ExitStack() as stack:
        reader = _Reader(stack, open_writer, frozenset(known), limits)
        feed = _Feed(_boundary(content_type), reader.take)
        while chunk := read_chunk(body, _READ_BYTES):
            feed.give(chunk)
        feed.end()
        return reader.finish()


def _boundary(content_type: str) -> bytes:
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary or len(boundary) > _BOUNDARY_BYTES or not boundary.isascii():
        raise BadRequest(
            "the Content-Type names no usable boundary",
            hint="send Content-Type: multipart/form-data; boundary=...",
        )
    return boundary.encode()


class _Decoder(MultipartDecoder):
    """Werkzeug's decoder, but part headers may hold bytes that are not UTF-8.

    Only file names can hold such bytes; any other name with them is unknown.
    """

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        return super()._parse_headers(repaired(bytes(data)).encode())


class _Feed:
    """Feeds the decoder so that the sizes of the chunks make no difference.

    Werkzeug 3.1.9 gives the CR before a boundary to the data when its buffer ends
    right behind "--boundary-" or in white space there, so these tails wait for more.
    """

    def __init__(
        self, boundary: bytes, take: Callable[[File | Field | Data], None]
    ) -> None:
        self._decoder = _Decoder(boundary)
        self._mark = b"--" + boundary
        self._held = b""
        self._take = take
        self._in_headers = True
        self._ended = False

    def give(self, chunk: bytes) -> None:
        """Decode the next bytes of the body."""
        if self._ended:
            return  # RFC 2046 wants the epilogue ignored; the server bounds it
        data = self._held + chunk
        keep = self._tail(data)
        self._held = data[len(data) - keep :]
        self._step(data[: len(data) - keep])

    def end(self) -> None:
        """Finish the body; raises BadRequest when a part is still open."""
        if not self._ended:
            self._step(self._held)
        if not self._ended:
            raise BadRequest("the multipart body ended inside a part")

    def _tail(self, data: bytes) -> int:
        window = len(self._mark) + _PADDING_BYTES
        seen = bytes(self._decoder.buffer[-window:]) + data
        at = seen.rfind(self._mark, max(0, len(seen) - window))
        if at < 0:
            return 0
        after = seen[at + len(self._mark) :]
        # A lone CR may be half of CRLF, whose LF would then open the headers.
        is_open = after == b"-" or not after.strip(b" \t\r")
        return min(len(data), len(seen) - at) if is_open else 0

    def _step(self, data: bytes) -> None:
        try:
            self._decoder.receive_data(data)
            while not isinstance(event := self._decoder.next_event(), NeedData):
                self._in_headers = isinstance(event, Preamble) or (
                    isinstance(event, Data) and not event.more_data
                )
                if isinstance(event, File | Field | Data):
                    self._take(event)
        # A part without a disposition, and a body that ends inside a part.
        except ValueError as error:
            raise BadRequest(f"the multipart body is malformed: {error}") from error
        self._ended = self._decoder.state.name in {"EPILOGUE", "COMPLETE"}
        if self._in_headers and len(self._decoder.buffer) > _HEADER_BYTES:
            raise BadRequest(f"the headers of a part are over {_HEADER_BYTES} bytes")


@dataclass
class _Reader:
    """Collects the parts; at most one is open at a time."""

    stack: ExitStack
    open_writer: Callable[[str], BlobWriter]
    known: frozenset[str]
    limits: Limits
    fields: dict[str, bytearray] = field(default_factory=dict)
    writer: BlobWriter | None = None
    part: str = ""
    name: str | None = None
    content_type: str = DEFAULT_TYPE
    size: int = 0

    def __post_init__(self) -> None:
        self.hash = hashlib.sha256()

    def take(self, event: File | Field | Data) -> None:
        """Handle one event of the decoder."""
        if isinstance(event, Data):
            if self.part == FILE:
                self._take_file(event.data)
            else:
                self._take_field(event.data)
            return
        self.part = self._check_name(event.name)
        if self.part == FILE:
            self.name = display_name(_filename(event))
            self.content_type = media_type(event.headers.get("content-type"))
            self.writer = self.stack.enter_context(self.open_writer(self.content_type))
        else:
            self.fields[self.part] = bytearray()

    def _check_name(self, name: str | None) -> str:
        if not name:
            raise BadRequest("a part of the multipart body has no name")
        shown = display_name(name) or ""
        if name != FILE and name not in self.known:
            known = ", ".join([FILE, *sorted(self.known)])
            raise Invalid.one(
                f"/{shown}",
                f"{shown!r} is not a part of this form",
                f"its parts: {known}",
            )
        if name in self.fields or (name == FILE and self.writer is not None):
            raise Invalid.one(
                f"/{shown}",
                f"the part {shown!r} is repeated",
                "send it once",
            )
        return name

    def _take_file(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > (limit := self.limits.source_bytes):
            raise BodyTooLarge(
                f"the file is over {limit} bytes",
                pointer=f"/{FILE}",
                hint=f"at most {limit} bytes (FRAMEMILL_LIMITS_SOURCE_BYTES)",
            )
        if self.writer is not None:
            self.hash.update(data)
            self.writer.write(data)

    def _take_field(self, data: bytes) -> None:
        value = self.fields[self.part]
        value += data
        if len(value) > (limit := self.limits.field_bytes):
            raise BodyTooLarge(
                f"the part {self.part!r} is over {limit} bytes",
                pointer=f"/{self.part}",
                hint=f"at most {limit} bytes (FRAMEMILL_LIMITS_FIELD_BYTES)",
            )

    def finish(self) -> Form:
        """Commit the blob, and return what the body held."""
        fields = {name: _text(name, value) for name, value in self.fields.items()}
        if self.writer is None:
            return Form(None, fields)
        blob = self.writer.commit()
        digest = self.hash.hexdigest()
        return Form(ReceivedFile(blob, digest, self.name, self.content_type), fields)


def _filename(event: File | Field) -> str | None:
    name = disposition_name(event.headers["content-disposition"])
    if name is not None:
        return name
    # Some programs send their bytes as a part with a type but no file name.
    if "content-type" in event.headers:
        return None
    raise Invalid.one(
        f"/{FILE}",
        f"the part {FILE!r} is a text field, not a file",
        "send it with a filename; with curl: -F file=@clip.mp4",
    )


def _text(name: str, value: bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"the part {name!r} is not UTF-8: byte {error.start} is wrong",
            pointer=f"/{name}",
        ) from error


def media_type(raw: str | None) -> str:
    """Return ``type/subtype`` of a caller's content type, or octet-stream."""
    # It becomes a header of S3, so only a certain type/subtype is kept.
    kind = parse_options_header(raw)[0].lower()
    main, slash, sub = kind.partition("/")
    words = (main, sub)
    plain = all(
        w and w.replace("-", "").replace("+", "").replace(".", "").isalnum()
        for w in words
    )
    fits = slash and kind.isascii() and len(kind) <= 100
    return kind if plain and fits else DEFAULT_TYPE
