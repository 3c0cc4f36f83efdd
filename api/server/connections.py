"""One client's connection: bytes in and out, each way with a least rate.

A client may be slow, not silent: within each window of ``seconds`` it must send, or
take, ``seconds * rate`` bytes. Only the time spent waiting for it counts, so nobody
pays for storage that is slow.
"""

from __future__ import annotations

import os
import re
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

from gunicorn.http.body import LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn

from common.errors import BodyTooSlow
from common.settings.sections import Api

State = Literal["idle", "head", "body", "ending"]
HEAD_BYTES = 64 * 1024
AHEAD_BYTES = 64 * 1024
_SEND_BYTES = 256 * 1024
# Unsent bytes in the kernel: few, so that a reader's progress is seen as it happens.
_UNSENT_BYTES = 128 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(
    rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE
)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECT = re.compile(
    rb" HTTP/1\.1\r\n(?s:.*?)\r\nexpect:[ \t]*100-continue", re.IGNORECASE
)
_BARE = re.compile(rb"(?<!\r)\n")
_LAST_CHUNK = b"\r\n0\r\n"


class Pace:
    """What is left of the window in which a client must move its bytes."""

    def __init__(self, seconds: float, rate: float) -> None:
        self._seconds = seconds
        self._least = seconds * rate
        self.restart()

    def restart(self) -> None:
        """Begin a new window."""
        self.left = self._seconds
        self._moved = 0

    def count(self, moved: int, waited: float) -> bool:
        """Count bytes and the seconds waited for them; returns if a window begins."""
        self.left -= waited
        self._moved += moved
        if self._moved < self._least:
            return False
        self.restart()
        return True


class Incoming(SocketUnreader):  # type: ignore[misc]
    """Reads a connection for gunicorn's parser.

    Until :attr:`is_open` only what has been received is there: a parser that wants
    more sees the end of the stream, and no thread waits for a header.
    """

    def __init__(self, sock: socket.socket, pace: Pace) -> None:
        super().__init__(sock)
        self.is_open = False
        self.is_late = False
        self._pace = pace

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes; raises BodyTooSlow."""
        if not self.is_open:
            return b""
        size = min(max(size_hint or 0, self.mxchunk), self.max_body_chunk)
        began = time.monotonic()
        try:
            # Nothing is waited for where the wait was over before.
            self.sock.settimeout(0 if self.is_late else max(self._pace.left, 0.001))
            data: bytes = self.sock.recv(size)
        except (TimeoutError, BlockingIOError) as error:
            self.is_late = True
            raise BodyTooSlow(
                "the body arrived too slowly, or not at all",
                hint="tus uploads can resume; FRAMEMILL_API_BODY_SECONDS and "
                "FRAMEMILL_API_BODY_RATE set the slowest rate allowed",
            ) from error
        self._pace.count(len(data), time.monotonic() - began)
        return data

    def buffered(self) -> int:
        """Return how many bytes are there already."""
        return int(self.buf.getbuffer().nbytes)


class Outgoing:
    """What gunicorn takes for the socket of an answer: holds it back, then sends it.

    A request's thread only fills ``held``. :meth:`open` comes before the rest is sent,
    in a thread that may wait for the client.
    """

    def __init__(self, sock: socket.socket, pace: Pace, *, is_continued: bool) -> None:
        self.held = bytearray()
        self._sock = sock
        self._pace = pace
        self._is_open = False
        self._is_continued = is_continued

    def send(self, data: bytes) -> None:
        """Send ``100 Continue``, unless the client has it."""
        if not self._is_continued:
            self._sock.settimeout(1)
            self._sock.sendall(data)

    def sendall(self, data: bytes) -> None:
        """Send the next bytes of the answer, or keep them for later."""
        if self._is_open:
            self._send(memoryview(data))
        else:
            self.held += data

    def flush(self) -> bool:
        """Send what the kernel takes at once; returns whether that was all."""
        self._sock.settimeout(0)
        try:
            sent = self._sock.send(self.held)
        except BlockingIOError:
            sent = 0
        del self.held[:sent]
        return not self.held

    def open(self) -> None:
        """Send what is held, and from now on everything at once."""
        self._is_open = True
        self._sock.settimeout(0)
        with suppress(OSError):
            self._sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES
            )
        self._send(memoryview(bytes(self.held)))
        self.held.clear()

    def sendfile(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send a part of a file; raises TimeoutError at a reader that is too slow."""
        while count and not self._is_open:
            data = os.pread(file.fileno(), count, offset)
            self.held += data
            offset, count = offset + len(data), count - len(data) if data else 0
        while count:
            began = self._await()
            step = min(count, _SEND_BYTES)
            sent = os.sendfile(self._sock.fileno(), file.fileno(), offset, step)
            if not sent:
                raise ConnectionAbortedError("the file ended early")
            self._pace.count(sent, time.monotonic() - began)
            offset += sent
            count -= sent

    def _send(self, view: memoryview) -> None:
        while view:
            began = self._await()
            sent = self._sock.send(view[:_SEND_BYTES])
            self._pace.count(sent, time.monotonic() - began)
            view = view[sent:]

    def _await(self) -> float:
        """Wait until the client takes bytes; returns when that began."""
        began = time.monotonic()
        waiting = select.poll()
        waiting.register(self._sock, select.POLLOUT)
        if not waiting.poll(max(1, self._pace.left * 1000)):
            raise TimeoutError("the answer was not read")
        return began


class Connection(TConn):  # type: ignore[misc]
    """A client's socket, what it has sent so far, and the request that is answered.

    ``head`` holds bytes that no request has taken yet, ``deadline`` (monotonic) is
    when the wait for the next ones ends.
    """

    def __init__(
        self, cfg: Any, sock: socket.socket, client: Any, server: Any, limits: Api
    ) -> None:
        super().__init__(cfg, sock, client, server)
        self.initialized = True
        self.head = bytearray()
        self.deadline = time.monotonic() + limits.header_seconds
        self.state: State = "head"
        self.request: Any = None
        self.answer: Answer | None = None
        self.is_continued = False
        self.drained = 0
        self._seen, self._end, self._awaited = 0, -1, 0
        self._is_chunked = False
        self._limits = limits
        self.pace = Pace(limits.body_seconds, limits.body_rate)
        self.parser = RequestParser(cfg, sock, client)
        self.incoming = Incoming(sock, self.pace)
        self.parser.unreader = self.incoming
        with suppress(OSError):  # a Unix socket has no such option
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def rest(self, seconds: float) -> None:
        """Wait that long for the next request, of which some bytes may be here."""
        self.request = self.answer = None
        self.is_continued = self.incoming.is_open = False
        self.head += self.incoming.take_buffered()
        self.state = "head" if self.head else "idle"
        wait = self._limits.header_seconds if self.head else seconds
        self.deadline = time.monotonic() + wait

    def receive(self, data: bytes) -> bool:
        """Store bytes that came; returns whether a request can be handled now."""
        now = time.monotonic()
        if self.state == "idle":
            self.state, self.deadline = "head", now + self._limits.header_seconds
        self.head += data
        if self.state == "body" and self.pace.count(len(data), 0):
            self.deadline = now + self.pace.left
        return self.is_ready()

    def is_ready(self) -> bool:
        """Return whether the head is here, and as much of the body as is awaited."""
        if self._end < 0 and not self._find_end():
            # The parser refuses both at once.
            is_bare = _BARE.search(self.head, max(0, self._seen - 1)) is not None
            self._seen = len(self.head)
            return is_bare or len(self.head) > HEAD_BYTES
        if len(self.head) >= self._awaited:
            return True
        if self._is_chunked and _LAST_CHUNK in self.head[self._end :]:
            return True
        if self.state != "body":
            self.state = "body"
            self.pace.restart()
            self.deadline = time.monotonic() + self.pace.left
            self._continue()
        return False

    def _find_end(self) -> bool:
        end = self.head.find(_HEAD_END, max(0, self._seen - len(_HEAD_END) + 1))
        if end < 0:
            return False
        self._end = end + 2
        head = bytes(self.head[: self._end])
        length = _LENGTH.search(head)
        self._is_chunked = length is None and _CHUNKED.search(head) is not None
        size = int(length[1]) if length else AHEAD_BYTES if self._is_chunked else 0
        self._awaited = end + len(_HEAD_END) + min(size, AHEAD_BYTES)
        return True

    def _continue(self) -> None:
        if _EXPECT.search(bytes(self.head[: self._end])):
            with suppress(OSError):
                self.sock.send(_CONTINUE)
            self.is_continued = True

    def take(self) -> None:
        """Hand what is here to the parser."""
        self.incoming.unread(bytes(self.head))
        self.head.clear()
        self._seen, self._end = 0, -1

    def has_whole_request(self) -> bool:
        """Return whether the body of the request that was parsed is here."""
        reader = self.request.body.reader
        is_sized = isinstance(reader, LengthReader)
        return is_sized and reader.length <= self.incoming.buffered()

    def skip_body(self) -> bool:
        """Skip what is here of an unread body; returns whether that was all of it."""
        self.incoming.is_open = False
        body = self.request.body
        if body.failed:
            return False
        if isinstance(body.reader, LengthReader) and not self.has_whole_request():
            return False
        try:
            while body.read(_SEND_BYTES):
                pass
        except (OSError, ParseException):
            return False
        return True

    def outgoing(self) -> Outgoing:
        """Return the output for the answer to this request."""
        pace = Pace(3 * self._limits.body_seconds, self._limits.body_rate)
        return Outgoing(self.sock, pace, is_continued=self.is_continued)


@dataclass
class Answer:
    """An answer that the application has begun."""

    request: Any
    response: Any
    environ: dict[str, Any]
    chunks: Any
    outgoing: Outgoing
    began: float = field(default_factory=time.monotonic)
