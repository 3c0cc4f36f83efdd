"""A proxy before an HTTP server that counts what passes, and slows or breaks it."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_CHUNK = 64 * 1024
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


@dataclass
class Traffic:
    """What passed since :meth:`clear`: each request with its range, and body bytes.

    ``rate`` is the most bytes a second that all answers share, ``delay`` the seconds
    before each. ``breaks`` answers end early, after ``break_after`` bytes. ``changes``
    replaces headers of the answers, or takes them away by None.
    """

    endpoint: str = ""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    body_bytes: int = 0
    rate: float | None = None
    delay: float = 0.0
    breaks: int = 0
    break_after: int = 0
    changes: dict[str, str | None] = field(default_factory=dict)
    keep_range: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)
    _free_at: float = 0.0

    def clear(self) -> None:
        """Count from here."""
        with self.lock:
            self.requests.clear()
            self.body_bytes = 0

    @property
    def gets(self) -> list[str | None]:
        """The ranges of the GET requests."""
        return [span for method, span in self.requests if method == "GET"]

    def pace(self, size: int) -> None:
        """Wait until ``size`` more bytes may pass."""
        if self.rate is None:
            return
        with self.lock:
            begin = max(self._free_at, time.monotonic())
            self._free_at = begin + size / self.rate
        time.sleep(max(0.0, self._free_at - time.monotonic()))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    traffic: Traffic
    upstream: str

    def _forward(self) -> None:
        traffic = self.traffic
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        with traffic.lock:
            traffic.requests.append((self.command, self.headers.get("Range")))
        time.sleep(traffic.delay)
        link = http.client.HTTPConnection(self.upstream, timeout=60)
        sent = dict(self.headers.items())
        if not traffic.keep_range:
            sent.pop("Range", None)
        link.putrequest(
            self.command, self.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in sent.items():
            link.putheader(name, value)
        link.endheaders(body)
        with closing(link), link.getresponse() as answer:
            self._answer(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        traffic = self.traffic
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP and name.lower() not in traffic.changes:
                self.send_header(name, value)
        for name, new in traffic.changes.items():
            if new is not None:
                self.send_header(name, new)
        chunked = answer.getheader("Content-Length") is None
        if chunked:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        with traffic.lock:
            breaking = self.command == "GET" and traffic.breaks > 0
            traffic.breaks -= breaking
        left = traffic.break_after if breaking else None
        while chunk := answer.read(_CHUNK if left is None else min(left, _CHUNK)):
            traffic.pace(len(chunk))
            # Before they are sent: who has them may look at the count at once.
            if self.command == "GET":
                with traffic.lock:
                    traffic.body_bytes += len(chunk)
            self.wfile.write(chunk)
            left = None if left is None else left - len(chunk)
        if breaking:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Print nothing: a client that goes away is what some tests are about."""


@contextmanager
def counting(endpoint: str) -> Iterator[Traffic]:
    """Run a proxy before ``endpoint`` until the block ends."""
    traffic = Traffic()
    upstream = urlsplit(endpoint).netloc
    handler = type("Handler", (_Handler,), {"traffic": traffic, "upstream": upstream})
    server = _Server(("127.0.0.1", 0), handler)
    traffic.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield traffic
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
