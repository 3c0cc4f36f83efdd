"""A client of the public HTTP API, by the standard library, for the command line."""

from __future__ import annotations

import json
import mimetypes
import os
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import urljoin, urlsplit

from common.model import JOB_ENDED

CHUNK_BYTES = 256 * 1024
_TIMEOUT_SECONDS = 90.0
_MAX_REDIRECTS = 5
_PASSING = frozenset({429, 502, 503, 504})
_PAUSE_SECONDS, _PATIENCE_SECONDS = 1.0, 60.0

Progress = Callable[[float], None]


class Refused(Exception):
    """The service answered with a problem; ``problem`` is the document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or f"HTTP status {status}"))
        self.status = status
        self.problem = problem


class Unreached(Exception):
    """The service did not answer."""


class _Silence:
    """A service that is away for a while, as at a restart: the job goes on."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def bear(self, error: Refused | Unreached) -> None:
        """Pause before the next try; raises what is no passing trouble, or lasts."""
        passing = not isinstance(error, Refused) or error.status in _PASSING
        if not passing or time.monotonic() - self._began > _PATIENCE_SECONDS:
            raise error
        time.sleep(_PAUSE_SECONDS)


@dataclass(frozen=True)
class Client:
    """Talks to the service at ``root``; ``key`` is an API key or None."""

    root: str
    key: str | None = None

    def submit(
        self, file: Path, fields: dict[str, Any], progress: Progress
    ) -> dict[str, Any]:
        """Upload a file as a job, streaming; ``progress`` gets 0 to 1."""
        boundary = uuid.uuid4().hex
        head, tail = _frame(file.name, fields, boundary)
        size = file.stat().st_size
        with file.open("rb") as source:
            return self._json(
                "POST",
                "/v1/jobs",
                _stream(head, source, size, tail, progress),
                {
                    "Content-Type": f"multipart/form-data; boundary={boundary}",
                    "Content-Length": str(len(head) + size + len(tail)),
                    # A repeat by whoever wraps this command makes no second job.
                    "Idempotency-Key": boundary,
                },
            )

    def upload(self, file: Path, progress: Progress) -> str:
        """Upload a file for a later job, by one tus request; gives the upload's id."""
        size = file.stat().st_size
        name = b64encode(os.fsencode(file.name)).decode()
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(size),
            "Upload-Metadata": f"filename {name}",
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(size),
        }
        with file.open("rb") as source:
            body = _stream(b"", source, size, b"", progress)
            with self._ask("POST", "/v1/tus", body, headers) as response:
                place = response.headers.get("Location")
                if response.status != 201 or place is None:
                    _read(response)
                    raise Unreached(f"{self.root} answered {response.status} to tus")
        return place.rpartition("/")[2]

    def submit_batch(self, requested: dict[str, Any]) -> dict[str, Any]:
        """Submit a batch, once however often the request is sent."""
        body = json.dumps(requested).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Idempotency-Key": uuid.uuid4().hex,
        }
        return self._json("POST", "/v1/batches", iter([body]), headers)

    def jobs(self, batch_id: str) -> list[dict[str, Any]]:
        """Return the documents of all jobs of a batch, newest first."""
        found: list[dict[str, Any]] = []
        path = f"/v1/jobs?batch={batch_id}&limit=100"
        cursor: str | None = ""
        while cursor is not None:
            page = self._json("GET", path + (cursor and f"&cursor={cursor}"), None, {})
            found += page["jobs"]
            cursor = page["next"]
        return found

    def is_uploaded(self, upload: str) -> bool:
        """Return True when an upload is there and whole."""
        headers = {"Tus-Resumable": "1.0.0"}
        with self._ask("HEAD", f"/v1/tus/{upload}", None, headers) as response:
            offset = response.headers.get("Upload-Offset")
            whole = response.headers.get("Upload-Length")
            return response.status == 200 and offset is not None and offset == whole

    def wait(
        self,
        job: dict[str, Any],
        progress: Progress,
        seconds: float | None = None,
        kind: Literal["jobs", "batches"] = "jobs",
    ) -> dict[str, Any]:
        """Follow a job or a batch to its end, or for ``seconds``; gives it as then."""
        deadline = None if seconds is None else time.monotonic() + seconds
        silence = _Silence()
        while job["status"] not in JOB_ENDED:
            if deadline is not None and time.monotonic() > deadline:
                break
            try:
                # Short waits: most jobs end soon, and the bar should move.
                job = self._json(
                    "GET", f"/v1/{kind}/{job['id']}", None, {"Prefer": "wait=2"}
                )
            except (Refused, Unreached) as error:
                silence.bear(error)
                continue
            silence = _Silence()
            progress(job["progress"] / 100)
        return job

    def fetch(self, url: str, path: Path) -> None:
        """Bring an artifact to ``path``, whole or not at all."""
        part = path.with_name(path.name + ".part")
        try:
            with self._follow(url) as response, part.open("wb") as target:
                while chunk := response.read(CHUNK_BYTES):
                    target.write(chunk)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _json(
        self,
        method: str,
        path: str,
        body: Iterator[bytes] | None,
        headers: dict[str, str],
    ) -> dict[str, Any]:
        with self._ask(method, path, body, headers) as response:
            document: dict[str, Any] = _read(response)
        return document

    @contextmanager
    def _ask(
        self,
        method: str,
        path: str,
        body: Iterator[bytes] | None,
        headers: dict[str, str],
    ) -> Iterator[HTTPResponse]:
        if self.key:
            headers = headers | {"Authorization": f"Bearer {self.key}"}
        url = self.root.rstrip("/") + path
        with _exchange(method, url, body, headers) as response:
            yield response

    @contextmanager
    def _follow(self, url: str) -> Iterator[HTTPResponse]:
        # Artifact links need no key, and none may go to where they redirect.
        for _ in range(_MAX_REDIRECTS):
            with _exchange("GET", url, None, {}) as response:
                place = response.headers.get("Location")
                if response.status in {301, 302, 303, 307, 308} and place:
                    url = urljoin(url, place)
                    continue
                if response.status != 200:
                    _read(response)
                yield response
                return
        raise Unreached(f"too many redirects from {urlsplit(url).netloc}")


@contextmanager
def _exchange(
    method: str, url: str, body: Iterator[bytes] | None, headers: dict[str, str]
) -> Iterator[HTTPResponse]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise Unreached(f"{url!r} is not an http or https address")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.netloc, timeout=_TIMEOUT_SECONDS)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.connect()
        # A refusal may come while the body is still being sent: then it is the answer
        # that tells why nobody reads on.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, target, body=body, headers=headers)
        yield connection.getresponse()
    except (OSError, HTTPException) as error:
        raise Unreached(f"{parts.netloc} did not answer: {error}") from error
    finally:
        connection.close()


def _read(response: HTTPResponse) -> Any:
    raw = response.read()
    try:
        document = json.loads(raw)
    except ValueError:
        document = {"detail": f"HTTP status {response.status}, and no JSON"}
        raise Refused(response.status, document) from None
    if response.status >= 400 or not isinstance(document, dict):
        raise Refused(response.status, document)
    return document


def _frame(name: str, fields: dict[str, Any], boundary: str) -> tuple[bytes, bytes]:
    lines = []
    for field, value in fields.items():
        lines += [
            f"--{boundary}",
            f'Content-Disposition: form-data; name="{field}"',
            "Content-Type: application/json",
            "",
            json.dumps(value),
        ]
    # As browsers do (HTML standard, multipart/form-data encoding).
    safe = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    lines += [
        f"--{boundary}",
        f'Content-Disposition: form-data; name="file"; filename="{safe}"',
        f"Content-Type: {kind}",
        "",
        "",
    ]
    head = os.fsencode("\r\n".join(lines))
    return head, f"\r\n--{boundary}--\r\n".encode()


def _stream(
    head: bytes, source: BinaryIO, size: int, tail: bytes, progress: Progress
) -> Iterator[bytes]:
    yield head
    sent = 0
    while chunk := source.read(min(CHUNK_BYTES, size - sent)):
        yield chunk
        sent += len(chunk)
        progress(sent / size)
    yield tail
