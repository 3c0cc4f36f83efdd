"""An S3 on loopback that can be told to answer with faults, for a while."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.context import aws, rclone, s3_settings

OTHERS = "theirs"
# (method, path) -> the status and S3's code of a refusal, or None.
Fault = Callable[[str, str], tuple[int, str] | None]


@dataclass
class FaultyS3:
    """A proxy before rclone's S3, which checks signatures.

    ``fault`` chooses what is refused, ``clock`` is added to the Date of every answer.
    ``refused`` are the requests that were.
    """

    endpoint: str
    fault: Fault = lambda _method, _path: None
    clock: float = 0.0
    refused: list[str] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        """Variables of a service that keeps its files here."""
        return s3_settings(self.endpoint) | {
            "FRAMEMILL_SOURCE_BUCKETS": OTHERS,
            "FRAMEMILL_S3_MAX_ATTEMPTS": "1",
        }

    @contextmanager
    def refusing(self, fault: Fault) -> Iterator[None]:
        """Refuse until the block ends."""
        self.fault = fault
        try:
            yield
        finally:
            self.fault = lambda _method, _path: None


@contextmanager
def faulty_s3(folder: Path) -> Iterator[FaultyS3]:
    """Run the proxy with our bucket and one of somebody else's."""
    with rclone(folder) as upstream:
        there = urlsplit(upstream).netloc
        state = FaultyS3("")
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state, there))
        state.endpoint = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            client = aws("s3", state.endpoint)
            client.create_bucket(Bucket=OTHERS)
            yield state
        finally:
            server.shutdown()
            server.server_close()


def _handler(state: FaultyS3, there: str) -> type[BaseHTTPRequestHandler]:
    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            refusal = state.fault(self.command, urlsplit(self.path).path)
            if refusal is not None:
                state.refused.append(f"{self.command} {self.path}")
                text = f"<Error><Code>{refusal[1]}</Code></Error>".encode()
                self.answer(refusal[0], [], text)
                return
            connection = http.client.HTTPConnection(there, timeout=60)
            try:
                # The headers are signed, Host among them: they go on as they came.
                connection.putrequest(
                    self.command, self.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                came = connection.getresponse()
                data = came.read()
                self.answer(came.status, came.getheaders(), data)
            finally:
                connection.close()

        def answer(
            self, status: int, headers: list[tuple[str, str]], data: bytes
        ) -> None:
            named = {name.lower(): value for name, value in headers}
            now = named.pop("date", None) or formatdate(usegmt=True)
            shown = parsedate_to_datetime(now).timestamp() + state.clock
            self.send_response_only(status)
            self.send_header("Date", formatdate(shown, usegmt=True))
            size = named.pop("content-length", str(len(data)))
            for name, value in named.items():
                if name not in {"transfer-encoding", "connection"}:
                    self.send_header(name, value)
            length = size if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Proxy
