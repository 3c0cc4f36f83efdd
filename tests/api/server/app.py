"""A small application under api.server.Worker: a body's digest, a file, a stream."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from common.errors import BodyTooSlow

BIG_BYTES = 64 * 1024 * 1024
_FILE = tempfile.NamedTemporaryFile()  # noqa: SIM115 - as long as the process lives
_FILE.truncate(BIG_BYTES)


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer by the path: /echo, /big, /stream, /seconds; anything else is /ok."""
    path = environ["PATH_INFO"]
    status, size = "200 OK", None
    body: Any = [b"ok"]
    if path == "/echo":
        status, text = _echo(environ["wsgi.input"])
        body = [text]
    elif path == "/big":
        size = BIG_BYTES
        body = environ["wsgi.file_wrapper"](Path(_FILE.name).open("rb"))  # noqa: SIM115
    elif path == "/stream":
        body = _stream()
    headers = [("Content-Type", "text/plain")]
    if isinstance(body, list):
        size = len(body[0])
    if size is not None:
        headers.append(("Content-Length", str(size)))
    start_response(status, headers)
    return body


def _echo(body: Any) -> tuple[str, bytes]:
    digest, size = hashlib.sha256(), 0
    try:
        while data := body.read(100_000):
            digest.update(data)
            size += len(data)
    except BodyTooSlow as error:
        return f"{error.status} Slow", str(size).encode()
    return "200 OK", f"{size} {digest.hexdigest()} {os.getpid()}".encode()


def _stream() -> Iterator[bytes]:
    for number in range(3):
        yield f"{number}\n".encode()
        time.sleep(0.1)
