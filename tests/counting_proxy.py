"""A proxy before an HTTP server that counts what passes, and slows or breaks it.

::

    with CountingProxy("http://127.0.0.1:9000") as proxy:
        proxy.rate = 50e6                        # bytes a second; None: no limit
        ...                                      # requests to proxy.url
        proxy.requests, proxy.down, proxy.up

Requests pass unchanged, so that the server's check of their signatures holds.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 64 * 1024
_ANSWER_SECONDS = 120.0
# Meant for one connection, so each side has its own.
_OF_A_CONNECTION = {"connection", "keep-alive"}


class CountingProxy(ThreadingHTTPServer):
    """A proxy on loopback before the server at ``endpoint``.

    ``requests`` has the method and the Range of each since :meth:`clear`. ``down`` are
    the bytes of the bodies of answers, ``up`` those of requests; they are counted
    before they pass, so that who has them may look at the count at once.

    ``rate`` is the most bytes a second that all connections share, in both directions,
    as they would share a network; ``delay`` the seconds before each request passes.
    ``breaks`` answers to GET end early, after ``break_after`` bytes. Without
    ``keep_range`` the server is asked for the whole file.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(endpoint).netloc
        self.requests: list[tuple[str, str | None]] = []
        self.down = self.up = 0
        self.rate: float | None = None
        self.delay = 0.0
        self.breaks = self.break_after = 0
        self.keep_range = True
        self._free_at = 0.0
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.02,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(60)

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Return the address that replaces the server's own."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def gets(self) -> list[str | None]:
        """Return the ranges of the GET requests."""
        return [span for method, span in self.requests if method == "GET"]

    def clear(self) -> None:
        """Count from here."""
        with self._lock:
            self.requests.clear()
            self.down = self.up = 0

    def comes(self, method: str, span: str | None) -> None:
        """Count a request, and wait until it may pass."""
        with self._lock:
            self.requests.append((method, span))
        time.sleep(self.delay)

    def passes(self, *, down: int = 0, up: int = 0) -> None:
        """Count bytes, and wait as long as the line takes for them."""
        with self._lock:
            self.down += down
            self.up += up
            if self.rate is None:
                return
            now = time.monotonic()
            self._free_at = max(now, self._free_at) + (down + up) / self.rate
            pause = self._free_at - now
        time.sleep(pause)

    def limit(self) -> int | None:
        """Return after how many bytes the next answer to a GET ends early, if so."""
        with self._lock:
            if self.breaks <= 0:
                return None
            self.breaks -= 1
            return self.break_after

    def refusal(self, method: str, path: str) -> tuple[int, bytes] | None:
        """Return the status and body that answer in the server's place, or None.

        Nothing is refused here: this and :meth:`dated` are for others to override.
        """

    def dated(self, date: str) -> str:
        """Return the Date that the client gets for the server's."""
        return date

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that went away; print any other error as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: CountingProxy
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: with Nagle's algorithm the second waits for 40 ms.
    disable_nagle_algorithm = True

    def __getattr__(self, name: str) -> object:
        # The base class calls do_GET, do_PUT and so on.
        if name.startswith("do_"):
            return self._relay
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Print nothing for each request."""

    def _relay(self) -> None:
        self.server.comes(self.command, self.headers.get("Range"))
        if refusal := self.server.refusal(self.command, self.path):
            self._refuse(*refusal)
            return
        upstream = http.client.HTTPConnection(
            self.server.upstream, timeout=_ANSWER_SECONDS
        )
        try:
            self._ask(upstream)
            self._answer(upstream.getresponse())
        finally:
            upstream.close()

    def _ask(self, upstream: http.client.HTTPConnection) -> None:
        upstream.putrequest(
            self.command, self.path, skip_host=True, skip_accept_encoding=True
        )
        # The base class has told the client to continue.
        dropped = _OF_A_CONNECTION | {"expect"}
        if not self.server.keep_range:
            dropped |= {"range"}
        for name, value in self.headers.items():
            if name.lower() not in dropped:
                upstream.putheader(name, value)
        upstream.endheaders()
        for chunk in self._sent():
            self.server.passes(up=len(chunk))
            upstream.send(
                b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk
            )
        if self._chunked:
            upstream.send(b"0\r\n\r\n")

    def _refuse(self, status: int, body: bytes) -> None:
        for _ in self._sent():
            pass  # the next request on this connection is behind it
        self.send_response_only(status)
        self.send_header("Date", self.server.dated(self.date_time_string()))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def _chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "")

    def _sent(self) -> Iterator[bytes]:
        return self._chunks() if self._chunked else self._body()

    def _body(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            chunk = self.rfile.read(min(left, _CHUNK))
            if not chunk:
                raise ConnectionResetError("the client ended amid a body")
            left -= len(chunk)
            yield chunk

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_A_CONNECTION:
                dates = name.lower() == "date"
                self.send_header(name, self.server.dated(value) if dates else value)
        left, chunked = answer.length, answer.chunked
        if left is None and not chunked:
            self.send_header("Connection", "close")  # its end is the body's end
        self.end_headers()
        limit = self.server.limit() if self.command == "GET" else None
        for chunk in _read(answer, limit):
            self.server.passes(down=len(chunk))
            left = left and left - len(chunk)
            self.wfile.write(
                b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk
            )
        if left or limit is not None:
            raise ConnectionResetError("the answer ended amid its body")
        if chunked and self.command != "HEAD":
            self.wfile.write(b"0\r\n\r\n")


def _read(answer: http.client.HTTPResponse, limit: int | None) -> Iterator[bytes]:
    """Yield the body, or its first ``limit`` bytes."""
    left = sys.maxsize if limit is None else limit
    while chunk := answer.read(min(left, _CHUNK)):
        yield chunk
        left -= len(chunk)
