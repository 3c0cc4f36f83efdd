"""All parts of one data folder, started in order and ended together."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from common.access.keys import declared_keys
from common.settings.load import Settings, check_secret
from deploy.allinone import embedded, parts
from deploy.allinone.children import Children, Part
from deploy.allinone.ports import LOOPBACK, Ports

ROOT = Path(__file__).resolve().parents[2]
# A wheel has this code without ./dev.
PROGRAM, CLIENT = (
    ("./dev", "./framemill")
    if (ROOT / "dev").is_file()
    else ("framemill up", "framemill")
)


class AlreadyRunning(RuntimeError):
    """Another supervisor holds the data folder."""


class Supervisor:
    """The parts of one service: it starts, watches and ends them.

    ``data`` is the data folder. ``environment`` is the supervisor's own: servers that
    it names are used instead of embedded ones. ``port`` is the API's, or None. Raises
    AlreadyRunning, PortTaken, NotInstalled, NotReady or ChildDied on entering, and
    SettingsError at once for what the API would refuse to start with.
    """

    def __init__(
        self, data: Path, environment: dict[str, str], port: int | None
    ) -> None:
        self._given = Settings.load()
        # The API's own checks, before its log is all that shows what they found.
        declared_keys(self._given)
        if "secret" in self._given.api.model_fields_set:
            check_secret(self._given.api.secret)
        data.mkdir(parents=True, exist_ok=True)
        self.data = data.resolve()
        self._requested = port
        if port is None and "port" in self._given.api.model_fields_set:
            self._requested = self._given.api.port
        self._ports = Ports(self.data / "ports.json")
        self._variables = {
            "FRAMEMILL_WORKER_SCRATCH": str(self.data / "scratch"),
            "FRAMEMILL_BLOBS_PATH": str(self.data / "blobs"),
            # What runs longer at Ctrl-C is given back and done at the next start.
            "FRAMEMILL_WORKER_SHUTDOWN_SECONDS": "3",
            "FRAMEMILL_API_SECRET": self._kept("secret", secrets.token_hex(32)),
            "FRAMEMILL_WEBHOOKS_SECRET": self._kept(
                "webhooks-secret", _webhook_secret()
            ),
            **environment,
            "PYTHONPATH": str(ROOT),
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self._host = self._given.api.host
        if self._host == LOOPBACK:
            # Nobody else reaches a loopback address: no keys unless asked for.
            self._variables.setdefault("FRAMEMILL_API_AUTH", "false")
        self.children = Children(ROOT, self.data / "logs", self._variables)
        self._bucket: embedded.Bucket | None = None
        self._server: socket.socket | None = None
        self.url = ""
        self.flower_url = ""

    def __enter__(self) -> Self:
        self._lock = (self.data / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise AlreadyRunning(
                f"another {PROGRAM} runs on {self.data}{self._running_at()}"
            ) from error
        try:
            # First of all, so that a taken port is known at once. It stays open for an
            # API that is started again.
            self._server = self._open_api()
            self._start_servers()
            self._start_own(self._server)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.children.stop()
        if self._server is not None:
            self._server.close()
        (self.data / "state.json").unlink(missing_ok=True)
        self._lock.close()

    @property
    def s3_url(self) -> str:
        """Where the embedded S3 is; empty where other storage is used."""
        return self._bucket.endpoint if self._bucket else ""

    @property
    def asks_for_keys(self) -> bool:
        """Whether a request to the API needs an API key."""
        api = self._given.api
        return api.auth if "auth" in api.model_fields_set else self._host != LOOPBACK

    def _running_at(self) -> str:
        """Return where the supervisor that holds the data folder serves, as a text."""
        try:
            state = json.loads((self.data / "state.json").read_text())
        except FileNotFoundError:
            return ", and is about to start or to end"
        return f", at {state['api']}"

    def _start_servers(self) -> None:
        waiting = []
        for name, preferred, section in (
            ("broker", 6379, self._given.broker),
            ("store", 6380, self._given.store),
        ):
            if "url" in section.model_fields_set:
                continue
            port = self._ports.choose(name, preferred)
            part = embedded.valkey(name, port, self.data / name)
            waiting.append(self.children.start(part))
            self._variables[f"FRAMEMILL_{name.upper()}_URL"] = (
                f"redis://{LOOPBACK}:{port}/0"
            )
        if part_of_s3 := self._embedded_s3():
            waiting.append(self.children.start(part_of_s3))
        self.children.await_ready(*waiting)

    def _embedded_s3(self) -> Part | None:
        """Return an S3 server, or None if storage was chosen or rclone is missing."""
        given = self._given
        if "backend" in given.blobs.model_fields_set:
            return None
        if given.s3.model_fields_set & {"endpoint_url", "access_key_id"}:
            self._variables["FRAMEMILL_BLOBS_BACKEND"] = "s3"
            return None
        program = embedded.rclone_program()
        if program is None:
            return None
        part, self._bucket = embedded.rclone(program, self._ports, self.data / "s3")
        self._variables.update(self._bucket.settings())
        return part

    def _open_api(self) -> socket.socket:
        wanted = self._ports.last("api", 8000)
        server = self._ports.open(
            "api", requested=self._requested, preferred=8000, host=self._host
        )
        port = server.getsockname()[1]
        if self._requested is None and port != wanted:
            print(f"Port {wanted} is taken: the API uses {port}.", flush=True)
        self._variables["FRAMEMILL_API_PORT"] = str(port)
        self.url = f"http://{self._host}:{port}"
        return server

    def _start_own(self, server: socket.socket) -> None:
        flower_port = self._ports.choose("flower", 5555)
        self.flower_url = f"http://{LOOPBACK}:{flower_port}"
        self._variables.setdefault("FRAMEMILL_API_FLOWER_PUBLIC_URL", self.flower_url)
        log = self.data / "logs" / "worker.log"
        broker = self._variables.get("FRAMEMILL_BROKER_URL", self._given.broker.url)
        started = [
            self.children.start(part)
            for part in (
                parts.api(server, self._given),
                parts.worker(self._given, log, server.getsockname()[1]),
                parts.reaper(),
                parts.flower(flower_port, broker),
            )
        ]
        self.children.await_ready(*started)
        self._write_state()

    def restart_dead(self) -> None:
        """Start again what has died, and say so; raises ChildDied when that is vain."""
        if said := self.children.restart_dead():
            print("\n".join(said), flush=True)
            self._write_state()

    def _write_state(self) -> None:
        parts.write_state(
            self.data / "state.json",
            {
                "pid": os.getpid(),
                "api": self.url,
                "flower": self.flower_url,
                "s3": self._bucket and asdict(self._bucket),
                "children": self.children.pids(),
                "settings": self._settings(),
            },
        )

    def _settings(self) -> dict[str, str]:
        """Return the variables under which the parts run, for the command line."""
        servers = {
            f"FRAMEMILL_{name}_URL": section.url
            for name, section in (
                ("BROKER", self._given.broker),
                ("STORE", self._given.store),
            )
        }
        given = {
            name: value
            for name, value in self._variables.items()
            if name.startswith("FRAMEMILL_")
        }
        return servers | given

    def _kept(self, name: str, fresh: str) -> str:
        """Return a secret that outlives a restart: ``fresh`` where none is kept."""
        path = self.data / name
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(fresh)
        return path.read_text()


def _webhook_secret() -> str:
    """Return a new secret after Standard Webhooks: 256 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def report(error: BaseException | str) -> None:
    """Print on standard error what went wrong."""
    if isinstance(error, OSError) and error.filename:
        error = f"{error.filename}: {error.strerror}"
    print(
        f"{PROGRAM.split()[0].removeprefix('./')}: {error}", file=sys.stderr, flush=True
    )
