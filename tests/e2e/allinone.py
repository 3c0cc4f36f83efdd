"""The supervisor as a process of a test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120.0
END_SECONDS = 60.0


@dataclass
class AllInOne:
    """A running supervisor; ``state`` is what it wrote for other programs."""

    process: subprocess.Popen[str]
    data: Path
    state: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.state["api"])

    def storage(self) -> Any:
        """Make a client of the embedded S3."""
        s3 = self.state["s3"]
        return boto3.client(
            "s3",
            endpoint_url=s3["endpoint"],
            region_name="us-east-1",
            aws_access_key_id=s3["access_key"],
            aws_secret_access_key=s3["secret_key"],
        )

    def job(self, outputs: Any = None, **source: Any) -> dict[str, Any]:
        """Submit by JSON and give the ended job."""
        body: dict[str, Any] = {"source": source}
        if outputs is not None:
            body["outputs"] = outputs
        return self.ask("/v1/jobs", json.dumps(body).encode(), "application/json")

    def upload(self, clip: Path, outputs: Any = None) -> dict[str, Any]:
        """Submit by multipart and give the ended job."""
        fields = [
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="c.mp4"'
            b"\r\n\r\n" + clip.read_bytes()
        ]
        if outputs is not None:
            fields.append(
                b'--b\r\nContent-Disposition: form-data; name="outputs"\r\n\r\n'
                + json.dumps(outputs).encode()
            )
        body = b"\r\n".join([*fields, b"--b--\r\n"])
        return self.ask("/v1/jobs", body, "multipart/form-data; boundary=b")

    def ask(self, path: str, body: bytes | None = None, kind: str = "") -> Any:
        headers = {"Prefer": "wait=60"} | ({"Content-Type": kind} if kind else {})
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=70) as answer:
            return json.load(answer)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(END_SECONDS)


def start(
    data: Path, *words: str, tree: Path = ROOT, **environment: str
) -> subprocess.Popen[str]:
    """Start the supervisor of a checkout; its output is kept in a pipe."""
    given = {k: v for k, v in os.environ.items() if not k.startswith("FRAMEMILL_")}
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.allinone", "--data", str(data), *words],
        cwd=tree,
        env=given | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def running(
    data: Path, *words: str, tree: Path = ROOT, **environment: str
) -> Iterator[AllInOne]:
    """Run ``up`` until the block ends."""
    process = start(data, "up", *words, tree=tree, **environment)
    state = data / "state.json"
    deadline = time.monotonic() + START_SECONDS
    try:
        while not state.exists():
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < deadline, "the supervisor is not ready"
            time.sleep(0.05)
        yield AllInOne(process, data, json.loads(state.read_text()))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def processes_of(data: Path) -> dict[int, str]:
    """Return the processes that have this folder in their arguments or environment."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            variables = (folder / "environ").read_bytes()
            if words and str(data).encode() in words + variables:
                found[int(folder.name)] = words.replace(b"\0", b" ").decode()
    return found
