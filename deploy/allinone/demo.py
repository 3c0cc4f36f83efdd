"""Submit clips over HTTP as a client would, wait, and show the results."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

_JOB_SECONDS = 600
_POLL_SECONDS = 0.2
ENDED = frozenset({"completed", "partial", "failed", "cancelled"})


class DemoFailed(RuntimeError):
    """A clip was refused, or its job did not end in time."""


def submit(url: str, clip: Path) -> dict[str, Any]:
    """Post a file and return the job; raise DemoFailed with the API's refusal."""
    boundary = secrets.token_hex(16)
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{_plain(clip.name)}"'
        "\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    tail = f"\r\n--{boundary}--\r\n"
    with clip.open("rb") as source:
        chunks = _chunks(head, source, tail)
        size = len(head.encode()) + clip.stat().st_size + len(tail)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(size),
        }
        return _ask(f"{url}/v1/jobs", chunks, headers)


def await_end(
    url: str, job: dict[str, Any], check: Callable[[], None]
) -> dict[str, Any]:
    """Poll until the job ends and return it; ``check`` raises if a part has died."""
    deadline = time.monotonic() + _JOB_SECONDS
    while job["status"] not in ENDED:
        check()
        if time.monotonic() > deadline:
            raise DemoFailed(f"job {job['id']} is {job['status']} after 10 minutes")
        time.sleep(_POLL_SECONDS)
        job = _ask(f"{url}/v1/jobs/{job['id']}")
    return job


def describe(url: str, clip: Path, job: dict[str, Any]) -> str:
    """Return where the job and its files are, on a line each."""
    lines = [f"{clip.name}: {job['status']}"]
    lines.append(f"  {'job':<11}{url}/v1/jobs/{job['id']}")
    for output in job["outputs"]:
        label = output["name"]
        for artifact in output["artifacts"]:
            label = "GIF" if artifact["content_type"] == "image/gif" else label
            size = f"{artifact['width']}x{artifact['height']}, "
            size += f"{artifact['bytes'] / 1000:,.0f} kB"
            lines.append(f"  {label:<11}{artifact['url']}  ({size})")
        if output["error"]:
            lines.append(f"  {label:<11}{output['error']['detail']}")
    return "\n".join(lines)


def _chunks(head: str, source: Any, tail: str) -> Any:
    yield head.encode()
    while chunk := source.read(1 << 20):
        yield chunk
    yield tail.encode()


def _plain(name: str) -> str:
    return "".join(c if c.isprintable() and c not in '"\\' else "_" for c in name)


def _ask(
    url: str, body: Any = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    request = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            document: dict[str, Any] = json.load(answer)
            return document
    except urllib.error.HTTPError as error:
        text = error.read(2000).decode(errors="replace")
        raise DemoFailed(f"{url} answered {error.code}: {text}") from error
