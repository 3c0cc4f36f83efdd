"""gunicorn with the upload routes over real storage; killed where a test says so."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.jobs.store import JobStore
from common.settings.load import Settings
from common.storage.port import BlobStore
from common.uploads import Uploads
from tests.ports import free_port
from tests.tools import children_of

HERE = Path(__file__).parent
KEYS = ("ways", "ways-secret")
MIB = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
OCTETS = {"Content-Type": "application/offset+octet-stream"}


def start(argv: list[str], port: int, environ: dict[str, str]) -> Any:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FRAMEMILL_")}
    root = HERE.parents[2]
    process = subprocess.Popen(
        argv, cwd=root, env={**kept, **environ}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, f"{argv[0]} ended"
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return process
        assert time.monotonic() < deadline, f"{argv[0]} does not listen"
        time.sleep(0.02)


@contextmanager
def rclone(folder: Path, keys: tuple[str, str]) -> Iterator[str]:
    """Run ``rclone serve s3`` over a folder of buckets; gives its endpoint."""
    port = free_port()
    argv = [str(Path(sys.executable).parent / "rclone"), "--config", "/dev/null"]
    argv += ["serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"]
    process = start([*argv, "--auth-key", ",".join(keys)], port, {})
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


@dataclass
class Server:
    """gunicorn with the upload routes."""

    environ: dict[str, str]
    port: int = field(default_factory=free_port)
    process: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self) -> None:
        gunicorn = str(Path(sys.executable).parent / "gunicorn")
        argv = [gunicorn, "--pythonpath", f"{HERE.parents[2]},{HERE}"]
        argv += [
            "-k",
            "api.server.Worker",
            "--threads",
            "8",
            "-b",
            f"127.0.0.1:{self.port}",
        ]
        argv += ["ways_in_server:load()"]
        self.process = start(argv, self.port, self.environ)

    def kill(self) -> None:
        """kill -9 the worker first (it serves), then the master."""
        pids = children_of(self.process.pid)
        os.kill(self.process.pid, signal.SIGKILL)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(60)
        # A dying worker holds the port for a while.
        await_true(lambda: refused(self.port))

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)


@dataclass
class Context:
    server: Server
    settings: Settings
    blobs: BlobStore
    store: JobStore
    uploads: Uploads

    def blob(self, upload_id: str) -> bytes:
        return b"".join(self.blobs.read(f"in/{upload_id}/source"))

    def leftovers(self, upload_id: str) -> list[str]:
        return [info.key for info in self.blobs.list(f"in/{upload_id}/")]


def url_id(url: str) -> str:
    return url.rpartition("/")[2]


def await_true(fact: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)
