"""A proxy before an HTTP server that counts what the server sends, and can slow it.

::

    with CountingProxy(port_of_s3) as proxy:
        proxy.bytes_per_second = 50e6            # None: as fast as it goes
        before = proxy.counted()
        ...                                      # requests to proxy.url
        read = proxy.counted() - before          # .requests, .down, .up

Requests pass unchanged, so that the server's check of their signatures holds. All
connections share the rate, as they would share a network.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_CHUNK = 1 << 18
_ANSWER_SECONDS = 120.0
# Meant for one connection, so each side has its own.
_OF_A_CONNECTION = {"connection", "keep-alive"}


@dataclass(frozen=True)
class Traffic:
    """Bytes of bodies, without headers: ``down`` from the server, ``up`` to it."""

    requests: int = 0
    down: int = 0
    up: int = 0

    def __sub__(self, before: Traffic) -> Traffic:
        return Traffic(
            self.requests - before.requests,
            self.down - before.down,
            self.up - before.up,
        )

    def __add__(self, more: Traffic) -> Traffic:
        return Traffic(
            self.requests + more.requests, self.down + more.down, self.up + more.up
        )


class _Line:
    """One network line: what is sent in either direction waits for its turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free_at = 0.0

    def wait(self, size: int, bytes_per_second: float | None) -> None:
        """Return when ``size`` bytes have gone over the line."""
        if bytes_per_second is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(now, self._free_at) + size / bytes_per_second
            pause = self._free_at - now
        time.sleep(pause)


class CountingProxy(ThreadingHTTPServer):
    """A proxy on loopback before the server on ``port`` of loopback."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = port
        self.bytes_per_second: float | None = None
        self._line = _Line()
        self._counted = Traffic()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

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

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Return the address that replaces the server's own."""
        return f"http://127.0.0.1:{self.port}"

    def counted(self) -> Traffic:
        """Return what has passed since the start."""
        with self._lock:
            return self._counted

    def passes(self, *, requests: int = 0, down: int = 0, up: int = 0) -> None:
        """Count, and wait as long as the line takes for the bytes."""
        with self._lock:
            self._counted += Traffic(requests, down, up)
        self._line.wait(down + up, self.bytes_per_second)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that went away; print any other error as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: CountingProxy
    protocol_version = "HTTP/1.1"
    wbufsize = _CHUNK

    def __getattr__(self, name: str) -> object:
        # The base class calls do_GET, do_PUT and so on.
        if name.startswith("do_"):
            return self._relay
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Print nothing for each request."""

    def _relay(self) -> None:
        self.server.passes(requests=1)
        upstream = http.client.HTTPConnection(
            "127.0.0.1", self.server.upstream, timeout=_ANSWER_SECONDS
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
        for name, value in self.headers.items():
            # The base class has told the client to continue.
            if name.lower() not in _OF_A_CONNECTION | {"expect"}:
                upstream.putheader(name, value)
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        upstream.endheaders()
        for chunk in self._chunks() if chunked else self._body():
            self.server.passes(up=len(chunk))
            upstream.send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
        if chunked:
            upstream.send(b"0\r\n\r\n")

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
                self.send_header(name, value)
        left, chunked = answer.length, answer.chunked
        if left is None and not chunked:
            self.send_header("Connection", "close")  # its end is the body's end
        self.end_headers()
        while chunk := answer.read(_CHUNK):
            self.server.passes(down=len(chunk))
            left = left and left - len(chunk)
            self.wfile.write(
                b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk
            )
        if chunked and self.command != "HEAD":
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        if left:
            raise ConnectionResetError("the server ended amid a body")
