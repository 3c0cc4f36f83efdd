"""The services of docker-compose.yml as processes of this machine.

Each runs the command and the variables that Compose would give it. Names of services
and their ports become ports of loopback; the programs are those of the locks. rclone
stands for SeaweedFS, which is in no registry of packages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import redis

from deploy.allinone.embedded import rclone_program, valkey_program
from tests.conftest import ROOT
from tests.deploy import compose_file
from tests.ports import free_port
from tests.tools import CHECKS

SECONDS = 120.0
# Where a service listens in its container.
LISTENING = {
    "broker": "6379",
    "store": "6379",
    "storage": "8333",
    "api": "8000",
    "flower": "5555",
}
PROXY = {"address": "8000", "storage": "8333", "health": "2020"}


def environment_file(folder: Path) -> dict[str, str]:
    """Have the page's first command write the secrets, in a copy of its folder."""
    place = folder / "deploy" / "docker"
    place.mkdir(parents=True)
    shutil.copy(ROOT / "deploy/docker/new-env", place)
    subprocess.run([place / "new-env"], cwd=folder, check=True, timeout=60)
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


class Composed:
    """Every service that starts without a profile, by its name in the compose file.

    ``scaled`` are further copies, as ``--scale`` starts them. ``settings`` are those
    that an operator has in settings.env.
    """

    def __init__(
        self,
        folder: Path,
        given: dict[str, str],
        *,
        scaled: Sequence[str] = ("worker-slow",),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.given = folder, given
        self.scaled, self.settings = scaled, dict(settings or {})
        self.ports = {name: free_port() for name in LISTENING}
        self.proxy = {name: free_port() for name in PROXY}
        self.url = f"http://127.0.0.1:{self.proxy['address']}"
        self.children: list[tuple[str, subprocess.Popen[bytes]]] = []
        # Where the metrics of each part without /metrics are, by its process's id.
        self.metrics: dict[int, int] = {}
        self._programs = folder / "bin"

    def __enter__(self) -> Self:
        self._programs.mkdir(parents=True)
        (self._programs / "valkey-server").symlink_to(valkey_program())
        try:
            for name in ("broker", "store", "storage"):
                self.start(name)
            for name in ("broker", "store"):
                self._await(self._pings, name)
            for name in ("api", "worker-fast", "worker-slow", "reaper", "flower"):
                self.start(name)
            for name in self.scaled:
                self.start(name)
            self.start("proxy")
            self._await(self._whole, "the service")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # As Compose does: what depends on the servers ends before them.
        servers = ("broker", "store", "storage")
        slow = self._end([one for one in self.children if one[0] not in servers])
        slow += self._end([one for one in self.children if one[0] in servers])
        assert not slow, f"did not end by SIGTERM: {slow}"

    @staticmethod
    def _end(children: list[tuple[str, subprocess.Popen[bytes]]]) -> list[str]:
        """End these services; return those that had to be killed."""
        slow = []
        for _name, child in children:
            child.terminate()
        for name, child in children:
            try:
                child.wait(SECONDS)
            except subprocess.TimeoutExpired:
                slow.append(name)
                child.kill()
                child.wait()
        return slow

    def start_again(self, child: subprocess.Popen[bytes]) -> None:
        """Start a service that ended, at the address that it had."""
        (name,) = [name for name, one in self.children if one is child]
        self.start(name, metrics_port=self.metrics.pop(child.pid))

    def start(self, name: str, *, metrics_port: int | None = None) -> None:
        """Start a service; its output is in ``NAME.log``."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        environment = self.environment(name)
        if metrics_port is not None:
            environment["FRAMEMILL_METRICS_PORT"] = str(metrics_port)
        with (self.folder / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                self._argv(name, home),
                cwd=home if name in {"broker", "store"} else ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.children.append((name, child))
        if "FRAMEMILL_METRICS_PORT" in environment and name != "api":
            self.metrics[child.pid] = int(environment["FRAMEMILL_METRICS_PORT"])

    def environment(self, name: str) -> dict[str, str]:
        """Return what the service finds in its environment."""
        path = f"{self._programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        values = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
        service = compose_file.SERVICES[name]
        if build := service.get("build"):
            image = compose_file.image_environment(ROOT / build["dockerfile"])
            values = image | {"FRAMEMILL_WORKER_SCRATCH": self._volume(name)} | values
        if "environment" in service:
            given = compose_file.environment(name, self.given)
            values |= {key: self._here(value) for key, value in given.items()}
        if "FRAMEMILL_STORE_URL" in values:
            # A busy machine takes longer than a service waits.
            values["FRAMEMILL_STORE_TIMEOUT_SECONDS"] = "30"
            values |= self.settings
        if "FRAMEMILL_METRICS_PORT" in values:
            # Each container has its own 9100; on one host each needs another.
            values["FRAMEMILL_METRICS_HOST"] = "127.0.0.1"
            values["FRAMEMILL_METRICS_PORT"] = str(free_port())
        if name == "proxy":
            values |= {
                "HOME": str(self.folder / name),
                "PROXY_BIND": "127.0.0.1",
                "PROXY_ADDRESS": f":{self.proxy['address']}",
                "PROXY_STORAGE_ADDRESS": f":{self.proxy['storage']}",
                "PROXY_HEALTH_ADDRESS": f"http://127.0.0.1:{self.proxy['health']}",
                **{
                    f"PROXY_{name.upper()}": f"127.0.0.1:{self.ports[name]}"
                    for name in ("api", "flower", "storage")
                },
            }
        if name == "storage":
            access, secret = (
                values["AWS_ACCESS_KEY_ID"],
                values["AWS_SECRET_ACCESS_KEY"],
            )
            values["RCLONE_AUTH_KEY"] = f'"{access},{secret}"'
        return values

    def redis(self, name: str, user: str, password: str) -> redis.Redis:
        """Open a client of a server as one of its users."""
        return redis.Redis(
            port=self.ports[name],
            username=user,
            password=self.given[password],
            decode_responses=True,
        )

    def new_key(self) -> str:
        """Make an API key by the command that the compose file and the page name."""
        (words,) = re.findall(
            r"docker compose exec api (python -m api\.cli .*)",
            (ROOT / "docker-compose.yml").read_text(),
        )
        done = subprocess.run(
            words.split(),
            cwd=ROOT,
            env=self.environment("api"),
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout.split()[0]

    def log(self, name: str) -> str:
        """Return what the service wrote."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _argv(self, name: str, home: Path) -> list[str]:
        if name == "storage":
            (home / "framemill").mkdir()
            address = f"127.0.0.1:{self.ports[name]}"
            words = ["serve", "s3", str(home), "--addr", address, "--config", ""]
            return [str(rclone_program()), *words]
        if name == "proxy":
            config = str(ROOT / "deploy/proxy/Caddyfile")
            words = ["run", "--config", config, "--adapter", "caddyfile"]
            return [str(CHECKS / "caddy"), *words]
        words = compose_file.command(name, self.given)
        if name.startswith("worker"):
            # A container has a host name of its own.
            words[-1] += f" --hostname {name}-{len(self.children)}@%h"
        if name in {"broker", "store"}:
            return [*words, f"--port {self.ports[name]}", "--bind 127.0.0.1"]
        for flag in ("0.0.0.0:", "--port="):
            here = f"{flag.replace('0.0.0.0', '127.0.0.1')}{self.ports.get(name)}"
            inside = f"{flag}{LISTENING.get(name)}"
            words = [word.replace(inside, here) for word in words]
        return [word.replace("=0.0.0.0", "=127.0.0.1") for word in words]

    def _volume(self, name: str) -> str:
        """Return the folder that stands for a service's volume, one for its copies."""
        folder = self.folder / f"scratch-{name}"
        folder.mkdir(exist_ok=True)
        return str(folder)

    def _here(self, value: str) -> str:
        """Put ports of this machine where the compose file names a service's."""
        for name in ("broker", "store", "storage"):
            inside = f"{name}:{LISTENING[name]}"
            for before in ("@", "//"):
                here = f"{before}127.0.0.1:{self.ports[name]}"
                value = value.replace(before + inside, here)
        for name, port in PROXY.items():
            value = value.replace(
                f"http://127.0.0.1:{port}", f"http://127.0.0.1:{self.proxy[name]}"
            )
        return value

    def _await(self, fact: object, what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not fact(what):  # type: ignore[operator]
            for name, child in self.children:
                assert child.poll() is None, f"{name} ended:\n{self.log(name)}"
            logs = "\n".join(self.log(name)[-2000:] for name, _ in self.children)
            assert time.monotonic() < deadline, f"{what} is not ready:\n{logs}"
            time.sleep(0.1)

    def _pings(self, name: str) -> bool:
        # As the health check does, without a password.
        with suppress(redis.ConnectionError):
            return bool(redis.Redis(port=self.ports[name]).ping())
        return False

    def _whole(self, _what: str) -> bool:
        workers = f'"workers":{2 + len(self.scaled)}'.encode()
        for url in (f"{self.url}/readyz", f"{self.url}/flower/healthcheck"):
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    body = answer.read()
            except OSError:
                return False
            if url.endswith("readyz") and not (
                b'"status":"ok"' in body.replace(b" ", b"")
                and workers in body.replace(b" ", b"")
            ):
                return False
        return True
