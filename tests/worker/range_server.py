"""A server of one file that sends ranges, and what it may do wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.worker.receiver import Reply, Request

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass
class FileServer:
    """Answers like a web server with ``data``; ``etag`` and ``modified`` as headers.

    ``ranges`` False ignores ranges; ``cut`` ends that many answers with one byte less.
    ``status`` is that of a part.
    """

    data: bytes
    etag: str | None = '"one"'
    modified: str | None = "Sat, 28 Nov 2026 10:00:00 GMT"
    ranges: bool = True
    conditional: bool = True
    cut: int = 0
    status: int = 206
    headers: dict[str, str] = field(default_factory=dict)

    def answer(self, request: Request) -> Reply:
        headers = {"Content-Type": "video/mp4", **self.headers}
        if self.etag:
            headers["ETag"] = self.etag
        if self.modified:
            headers["Last-Modified"] = self.modified
        wanted = request.headers.get("if-match")
        if self.conditional and wanted is not None and wanted != self.etag:
            return Reply(412, body=b"")
        span = _RANGE.fullmatch(request.headers.get("range", ""))
        if span is None or not self.ranges:
            return Reply(200, headers, self.data)
        start, end = int(span[1]), min(int(span[2]) + 1, len(self.data))
        if start >= len(self.data):
            return Reply(416, {"Content-Range": f"bytes */{len(self.data)}"}, b"")
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(self.data)}"
        body = self.data[start:end]
        if self.cut:
            self.cut -= 1
            headers["Content-Length"] = str(len(body))
            body = body[:-1]
        return Reply(self.status, headers, body)
