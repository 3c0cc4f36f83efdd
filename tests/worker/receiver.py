"""A small real HTTP server on loopback: the canary, and a webhook's receiver."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] = b"ok"


@dataclass
class Receiver:
    """``requests`` are those that came; ``touched`` counts bare connections too."""

    port: int
    answer: Callable[[Request], Reply]
    host: str = "127.0.0.1"
    requests: list[Request] = field(default_factory=list)
    touched: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        self.receiver.touched += 1
        try:
            if self.tls is not None:
                request = self.tls.wrap_socket(request, server_side=True)
            with request:
                super().finish_request(request, client_address)
        except (ConnectionError, ssl.SSLError):
            return  # the client hung up, which is what some tests are about


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command,
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length),
        )
        receiver = self.server.receiver
        receiver.requests.append(request)
        reply = receiver.answer(request)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if isinstance(reply.body, bytes):
            if "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
            return
        self.end_headers()
        for chunk in reply.body:
            self.wfile.write(chunk)
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Write no log line."""


@contextmanager
def receiving(
    answer: Callable[[Request], Reply] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
) -> Iterator[Receiver]:
    """Serve on a free loopback port until the block ends."""
    server = _Server((host, 0), _Handler)
    server.tls = tls
    server.receiver = Receiver(
        server.server_address[1], answer or (lambda _request: Reply()), host
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
