"""A running service, asked as a client asks: over HTTP alone.

::

    job = service.submit(film, [{"kind": "snippets", "window": 5}])
    assert job["status"] == "completed", job["error"]
    manifest = artifact(job, "snippets", "snippets.json")
    for file in service.follow(manifest["url"]):     # as a browser resolves names
        for frame in decode(file.body):              # .picture, .start, .duration
            ...

``submit`` waits for the job's end and returns its document. ``fetch`` returns one
file, ``fetch_all`` every artifact of a job by its URL. What cannot be fetched raises
``HttpError``. Requests carry the API key where there is one; artifacts need none.
"""

from __future__ import annotations

import json
import mimetypes
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urldefrag, urljoin

from tests.e2e import allinone
from tests.ports import free_port
from tests.tools import children_of

ROOT = Path(__file__).resolve().parents[2]
ENDED = frozenset({"completed", "partial", "failed", "cancelled"})
INDEX_TYPES = frozenset(
    {
        "text/vtt",
        "application/json",
        "application/vnd.apple.mpegurl",
        "application/dash+xml",
    }
)
_ANSWER_SECONDS = 120.0
_STACKS_SECONDS, _STACKS_LINES = 0.5, 300
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 1.0
_PARTS = ("api", "broker", "store", "s3", "flower")


class HttpError(AssertionError):
    """An answer that is not 2xx; ``status`` and ``body`` are what it said."""

    def __init__(self, url: str, status: int, body: bytes) -> None:
        super().__init__(f"{url} answered {status}: {body[:600]!r}")
        self.status = status
        self.body = body

    @property
    def problem(self) -> dict[str, Any]:
        """Return the problem document, empty where the body is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class NotEnded(AssertionError):
    """A job that did not end in time."""


@dataclass(frozen=True)
class Fetched:
    """A file as it came: ``url`` is where the redirects ended."""

    name: str
    url: str
    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def content_type(self) -> str:
        """The media type without parameters, in small letters."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Service:
    """The service at ``url``.

    ``tree`` is the checkout and ``data`` the folder that it was started from, None
    where it ran already; ``state`` is what its supervisor wrote (ports, S3 keys).
    """

    url: str
    key: str | None = None
    tree: Path | None = None
    data: Path | None = None
    state: dict[str, Any] = field(default_factory=dict)

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        **headers: str,
    ) -> Fetched:
        """Send one request to a path of the API; ``body`` is sent as JSON.

        Underscores in the names of ``headers`` become hyphens. Raises HttpError for
        an answer that is not 2xx.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key:
            sent["Authorization"] = f"Bearer {self.key}"
        data = body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        return _open(
            urllib.request.Request(
                urljoin(self.url, path), data=data, headers=sent, method=method
            )
        )

    def post(
        self, file: Path, outputs: Any = None, *, name: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Upload a file as a job and return its document as it was accepted.

        ``fields`` are other members of the request (``metadata``, ``preset``).
        """
        if outputs is not None:
            fields["outputs"] = outputs
        with file.open("rb") as source:
            body = _Form(source, file.stat().st_size, name or file.name, fields)
            headers = {"Content-Type": body.type, "Content-Length": str(len(body))}
            if self.key:
                headers["Authorization"] = f"Bearer {self.key}"
            request = urllib.request.Request(
                urljoin(self.url, "/v1/jobs"), data=iter(body), headers=headers
            )
            answer: dict[str, Any] = _open(request).json()
            return answer

    def wait(self, job: dict[str, Any], seconds: float = 300.0) -> dict[str, Any]:
        """Return the document of a job that has ended; raises NotEnded."""
        deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
        while job["status"] not in ENDED:
            if time.monotonic() > deadline:
                raise NotEnded(
                    f"job {job['id']} is {job['status']} ({job['progress']} %) after "
                    f"{seconds:.0f} s"
                )
            time.sleep(pause)
            # A short job is waited for no longer than it takes, a long one asked for
            # seldom.
            pause = min(_LAST_PAUSE, 1.2 * pause)
            job = self.ask(f"/v1/jobs/{job['id']}").json()
        return job

    def submit(
        self,
        file: Path,
        outputs: Any = None,
        *,
        name: str | None = None,
        seconds: float = 300.0,
        **fields: Any,
    ) -> dict[str, Any]:
        """Upload a file as a job, wait for its end and return its document."""
        return self.wait(self.post(file, outputs, name=name, **fields), seconds)

    def stacks(self) -> str:
        """Return the end of the worker's log, with what each of its threads does.

        The text is empty for a service that was not started here.
        """
        if self.data is None:
            return ""
        main = self.state["children"]["worker"]
        for pid in children_of(main):
            os.kill(pid, signal.SIGUSR2)
        os.kill(main, signal.SIGUSR1)
        time.sleep(_STACKS_SECONDS)
        log = (self.data / "logs" / "worker.log").read_text(errors="replace")
        return "\n".join(log.splitlines()[-_STACKS_LINES:])

    def fetch(self, what: dict[str, Any] | str) -> Fetched:
        """Return the file of an artifact, or of a URL, without a key."""
        url = what if isinstance(what, str) else what["url"]
        return _open(urllib.request.Request(urljoin(self.url, url)))

    def fetch_all(self, job: dict[str, Any]) -> dict[tuple[str, str], Fetched]:
        """Return all files of a job by the names of output and artifact."""
        return {
            (output["name"], found["name"]): self.fetch(found)
            for output in job["outputs"]
            for found in output["artifacts"]
        }

    def follow(self, url: str) -> list[Fetched]:
        """Return every file that an index names, once each, in the index's order.

        Names are resolved against the index's own address, as a browser does.
        """
        index = self.fetch(url)
        return [self.fetch(urljoin(index.url, name)) for name in names(index)]

    def command(
        self, *words: str | Path, seconds: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``framemill`` of the service's checkout.

        The address is not given: name it by ``--server``, where the command has one.
        ``environment`` comes on top of this process's own.
        """
        return subprocess.run(
            [sys.executable, "-m", "api.cli", *map(str, words)],
            cwd=self.tree or ROOT,
            env=os.environ | environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
        )


def artifact(job: dict[str, Any], output: str, name: str | None = None) -> Any:
    """Return the one artifact of an output, or the one of that name."""
    found = output_of(job, output)
    assert found["status"] == "succeeded", found["error"]
    fitting = [a for a in found["artifacts"] if name in {None, a["name"]}]
    assert len(fitting) == 1, [a["name"] for a in found["artifacts"]]
    return fitting[0]


def output_of(job: dict[str, Any], name: str) -> Any:
    """Return the output of that name."""
    (found,) = [one for one in job["outputs"] if one["name"] == name]
    return found


def names(index: Fetched) -> list[str]:
    """Return the file names in an index, once each, in order.

    It is WebVTT, HLS, JSON, or DASH with a template that counts its files.

    In JSON these are the strings behind ``file`` or ``name``.
    """
    text = index.body.decode()
    if index.content_type == "application/json":
        found = list(_files(json.loads(text)))
    elif index.content_type == "text/vtt":
        found = [line for line in text.splitlines() if "#xywh=" in line]
    elif index.content_type == "application/dash+xml":
        found = list(_segments(text))
    else:
        found = [line for line in text.splitlines() if line and line[0] != "#"]
    return list(dict.fromkeys(urldefrag(name).url for name in found))


def _segments(mpd: str) -> Iterator[str]:
    """Yield a file for each segment that begins before the end."""
    media, first, length, scale, seconds = (
        re.findall(rf'\b{name}="(?:PT)?([^"]+?)S?"', mpd)[0]
        for name in (
            *("media", "startNumber", "duration", "timescale"),
            "mediaPresentationDuration",
        )
    )
    stem, _, suffix = media.partition("$Number%03d$")
    at, number = 0.0, int(first)
    while at < float(seconds) - 0.001:
        yield f"{stem}{number:03d}{suffix}"
        at, number = at + int(length) / int(scale), number + 1


def _files(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _files(item)
    elif isinstance(value, dict):
        for member, item in value.items():
            if member in {"file", "name", "url"} and isinstance(item, str):
                yield item
            else:
                yield from _files(item)


def _open(request: urllib.request.Request) -> Fetched:
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
            headers = {k.lower(): v for k, v in answer.headers.items()}
            name = re.sub(r"[?#].*", "", request.full_url).rpartition("/")[2]
            return Fetched(name, answer.url, answer.status, headers, answer.read())
    except urllib.error.HTTPError as error:
        raise HttpError(request.full_url, error.code, error.read()) from None


class _Form:
    """A multipart form with one file, read while it is sent."""

    def __init__(
        self, source: BinaryIO, size: int, name: str, fields: dict[str, Any]
    ) -> None:
        boundary = uuid.uuid4().hex
        self.type = f"multipart/form-data; boundary={boundary}"
        self._source = source
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n'
            f"{value if field == 'preset' else json.dumps(value)}\r\n"
            for field, value in fields.items()
        ]
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
            f'filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
        )
        self._head = "".join(parts).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._size = len(self._head) + size + len(self._tail)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        while chunk := self._source.read(1 << 20):
            yield chunk
        yield self._tail


@contextmanager
def started(data: Path, tree: Path = ROOT, **environment: str) -> Iterator[Service]:
    """Start all parts of a checkout on a data folder of its own until the block ends.

    ``environment`` are settings (``FRAMEMILL_...``) over those of ``./dev``. Ports are
    drawn, so that several may run.
    """
    data.mkdir(parents=True, exist_ok=True)
    if not (data / "ports.json").exists():
        ports = {name: free_port() for name in _PARTS}
        (data / "ports.json").write_text(json.dumps(ports))
    with allinone.running(data, tree=tree, **environment) as one:
        yield Service(one.url, tree=tree, data=data, state=one.state)


def chosen(environ: dict[str, str] | os._Environ[str]) -> tuple[str | None, Path]:
    """Return the address of a service that runs, or None, and the tree to start."""
    tree = Path(environ.get("FRAMEMILL_ACCEPTANCE_TREE") or ROOT)
    return environ.get("FRAMEMILL_ACCEPTANCE_URL"), tree.resolve()
