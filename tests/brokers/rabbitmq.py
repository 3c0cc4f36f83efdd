"""A RabbitMQ of a test's own on loopback, with its own name, folders and epmd."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import amqp

from tests.chaos.service import until
from tests.ports import free_port
from tests.tools import need

START_SECONDS = 120.0
# Debian's program in sbin starts the server as another user where root calls it.
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")


@dataclass
class RabbitMQ:
    """A server that can be killed and started again with what it holds."""

    folder: Path
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_PROGRAMS / "rabbitmq-server"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers, START_SECONDS, "RabbitMQ answers")

    def kill(self) -> None:
        """Kill the server and all that it started."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(60)

    def control(self, *words: str) -> str:
        """Run rabbitmqctl; gives what it printed."""
        return subprocess.check_output(
            [_PROGRAMS / "rabbitmqctl", "--quiet", *words],
            env=self.environment,
            text=True,
            timeout=120,
        )

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "server.log").read_text()
        with (
            suppress(OSError, amqp.AMQPError),
            amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=2),
        ):
            return True
        return False


@contextmanager
def running(folder: Path) -> Iterator[RabbitMQ]:
    """Run a server; skips the test where RabbitMQ is not installed."""
    need("rabbitmq-server", "epmd")
    folder.mkdir(parents=True, exist_ok=True)
    names = free_port()
    server = RabbitMQ(folder, free_port(), {})
    server.environment = _environment(folder, server.port, names)
    # Otherwise the server starts one that outlives it.
    epmd = subprocess.Popen(
        ["/usr/bin/epmd", "-address", "127.0.0.1", "-port", str(names)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        server.start()
        yield server
    finally:
        server.kill()
        epmd.kill()
        epmd.wait(60)


def _environment(folder: Path, port: int, names: int) -> dict[str, str]:
    (folder / "rabbitmq.conf").write_text("log.console = false\n")
    (folder / "plugins").write_text("[].\n")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"framemill-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        # One scheduler: the machine has other work, and it starts no faster with more.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}"
        ),
    }


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
