"""A client of the HTTP API, by the standard library alone."""

from __future__ import annotations

import functools
import json
import mimetypes
import os
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import urljoin, urlsplit

from .errors import Refused, Unreached
from .render_url import render_url

ENDED = frozenset({"completed", "partial", "failed", "cancelled"})
CHUNK_BYTES = 256 * 1024
_TIMEOUT_SECONDS = 90.0
_MAX_REDIRECTS = 5
_SCHEMES = frozenset({"http", "https"})
_TEMPORARY = frozenset({429, 502, 503, 504})
_PAUSE_SECONDS, _PATIENCE_SECONDS = 1.0, 60.0

Progress = Callable[[float], None]


def _ignore(_: float) -> None:
    """Draw no progress."""


class _Outage:
    """A service that is away for a while, as at a restart: the job goes on."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def pause(self, error: Refused | Unreached) -> None:
        """Pause before the next try; raise an error that is not temporary, or lasts."""
        temporary = not isinstance(error, Refused) or error.status in _TEMPORARY
        if not temporary or time.monotonic() - self._began > _PATIENCE_SECONDS:
            raise error
        time.sleep(_PAUSE_SECONDS)


def remote_source(text: str) -> dict[str, Any]:
    """Return ``s3://BUCKET/KEY`` or a URL as the API takes a source.

    Raises ValueError for an ``s3://`` address without a bucket or a key.
    """
    if not text.startswith("s3://"):
        return {"url": text}
    bucket, slash, key = text.removeprefix("s3://").partition("/")
    if not (bucket and slash):
        raise ValueError(f"{text!r} is not s3://BUCKET/KEY")
    return {"s3": {"bucket": bucket, "key": key}}


def source_name(text: str) -> str:
    """Return the last part of a path, an S3 key or a URL's path; it may be empty."""
    path = urlsplit(text).path if text.startswith(("http://", "https://")) else text
    return Path(path).name


@dataclass(frozen=True)
class Client:
    """A client of the service at ``root``, such as ``http://127.0.0.1:8000``.

    ``key`` is an API key; None where the service asks for none. Documents of jobs and
    batches are dicts, as docs/reference/api.md describes them. Every method raises
    Refused where the service refuses, Unreached where it does not answer, and OSError
    where a local file cannot be read or written. ``progress`` is called with the share
    that is done, from 0 to 1.
    """

    root: str
    key: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a ``root`` that is no http or https address."""
        parts = urlsplit(self.root)
        if parts.scheme in _SCHEMES and parts.netloc:
            return
        rest = self.root.rpartition("://")[2].lstrip("/") or "127.0.0.1:8000"
        raise ValueError(
            f"{self.root!r} is not the address of a service: write http://{rest}"
        )

    def submit(
        self,
        source: str | Path,
        requested: Mapping[str, Any] | None = None,
        progress: Progress = _ignore,
    ) -> dict[str, Any]:
        """Submit a job and return its document.

        ``source`` is a local file, which is uploaded as a stream, or a text with
        ``://``: an ``https://`` URL or ``s3://BUCKET/KEY``. ``requested`` holds the
        other members of the request: ``outputs``, ``preset``, ``metadata`` and so on.
        """
        requested = requested or {}
        if isinstance(source, str) and "://" in source:
            document = {**requested, "source": remote_source(source)}
            return self._post_json("/v1/jobs", document)
        file = Path(source)
        boundary = uuid.uuid4().hex
        head, tail = _frame(file.name, requested, boundary)
        size = file.stat().st_size
        with file.open("rb") as content:
            return self._json(
                "POST",
                "/v1/jobs",
                _stream(head, content, size, tail, progress),
                {
                    "Content-Type": f"multipart/form-data; boundary={boundary}",
                    "Content-Length": str(len(head) + size + len(tail)),
                    # A repeat by whoever wraps this command makes no second job.
                    "Idempotency-Key": boundary,
                },
            )

    def upload(self, file: Path, progress: Progress = _ignore) -> str:
        """Upload a file for a later job or batch, and return the upload's id."""
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

    def render_url(
        self,
        source: str,
        options: Mapping[str, Any] | None = None,
        extension: str = "jpg",
        expires: int | None = None,
    ) -> str:
        """Return the signed URL of an image that is made when it is first asked for.

        ``source`` is ``s3://BUCKET/KEY``, an ``https://`` URL or the id of a job;
        ``options`` are fields of an output, such as ``{"time": 12.5, "width": 640}``.
        The URL ends at ``expires``, in Unix seconds; None is never. The secret is
        fetched at the first call.
        """
        return render_url(
            self.root, self._signing_key, source, options or {}, extension, expires
        )

    @functools.cached_property
    def _signing_key(self) -> dict[str, str]:
        return self._json("GET", "/v1/render/signing-key", None, {})

    def submit_batch(self, requested: Mapping[str, Any]) -> dict[str, Any]:
        """Submit a batch and return its document.

        ``requested`` is the whole request: ``sources`` (as of a job) or ``prefix``, and
        what applies to every job, such as ``outputs``.
        """
        return self._post_json("/v1/batches", requested)

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
        """Return True if an upload is there and complete."""
        headers = {"Tus-Resumable": "1.0.0"}
        with self._ask("HEAD", f"/v1/tus/{upload}", None, headers) as response:
            offset = response.headers.get("Upload-Offset")
            whole = response.headers.get("Upload-Length")
            return response.status == 200 and offset is not None and offset == whole

    def wait(
        self,
        job: dict[str, Any],
        progress: Progress = _ignore,
        seconds: float | None = None,
        kind: Literal["jobs", "batches"] = "jobs",
    ) -> dict[str, Any]:
        """Wait for the end of a job, and return its document as it is then.

        After ``seconds`` it returns the document of a job that has not ended. For a
        batch, ``kind`` is "batches". A service that is away is asked again for a
        minute.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        outage = _Outage()
        while job["status"] not in ENDED:
            if deadline is not None and time.monotonic() > deadline:
                break
            try:
                # Short waits: most jobs end soon, and the bar should move.
                job = self._json(
                    "GET", f"/v1/{kind}/{job['id']}", None, {"Prefer": "wait=2"}
                )
            except (Refused, Unreached) as error:
                outage.pause(error)
                continue
            outage = _Outage()
            progress(job["progress"] / 100)
        return job

    def save(
        self,
        job: dict[str, Any],
        folder: Path,
        saved: Callable[[Path], None] = lambda _: None,
    ) -> list[Path]:
        """Download every file of a job to ``folder/OUTPUT/FILE``; return the paths.

        A file that is there with the right size is not downloaded again; ``saved`` is
        called with the path of each one that is.
        """
        paths = []
        for output in job["outputs"]:
            # Both names are the service's; only their last parts become paths. Each
            # output has a folder, because indexes name its other files beside them.
            place = folder / Path(output["name"]).name
            for artifact in output["artifacts"]:
                path = place / Path(artifact["name"]).name
                paths.append(path)
                if path.is_file() and path.stat().st_size == artifact["bytes"]:
                    continue
                place.mkdir(parents=True, exist_ok=True)
                self.fetch(artifact["url"], path)
                saved(path)
        return paths

    def fetch(self, url: str, path: Path) -> None:
        """Download an artifact to ``path``, whole or not at all."""
        part = path.with_name(path.name + ".part")
        try:
            with self._follow(url) as response, part.open("wb") as target:
                while chunk := response.read(CHUNK_BYTES):
                    target.write(chunk)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _post_json(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(document).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Idempotency-Key": uuid.uuid4().hex,
        }
        return self._json("POST", path, iter([body]), headers)

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
    if parts.scheme not in _SCHEMES or not parts.netloc:
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


def _frame(name: str, fields: Mapping[str, Any], boundary: str) -> tuple[bytes, bytes]:
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
