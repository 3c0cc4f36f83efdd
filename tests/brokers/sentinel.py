"""Three Sentinels that watch pairs of Valkey servers, all on loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from tests.chaos.service import until
from tests.common import valkey
from tests.ports import free_port

DOWN_SECONDS = 2
_START_SECONDS = 120
_SENTINEL = """\
port {port}
bind 127.0.0.1
dir {folder}
"""
_WATCHED = """\
sentinel monitor {name} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {name} {down}
sentinel failover-timeout {name} 10000
"""


class Pair:
    """A primary and its replica, of which either may be killed and started again."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.ports = (free_port(), free_port())
        self._folder = folder
        self._options: dict[int, tuple[str, ...]] = {}
        self._servers: dict[int, subprocess.Popen[bytes]] = {}

    def run(self, *options: str) -> None:
        """Start both, and wait until the replica has what the primary has."""
        primary, replica = self.ports
        self._options = {
            primary: options,
            replica: (*options, "--replicaof", f"127.0.0.1 {primary}"),
        }
        for port in self.ports:
            self.start(port)
        until(lambda: self._linked(primary), _START_SECONDS, f"{self.name}: a replica")

    def start(self, port: int) -> None:
        home = self._folder / f"{self.name}-{port}"
        home.mkdir(exist_ok=True)
        # A new replica is sent what there is at once, not after five seconds.
        words = ("--appendonly", "yes", "--repl-diskless-sync-delay", "0")
        self._servers[port] = valkey.start(home, port, *words, *self._options[port])

    def kill(self, port: int) -> None:
        self._servers[port].kill()
        self._servers[port].wait(60)

    def process(self, port: int) -> subprocess.Popen[bytes]:
        return self._servers[port]

    def end(self) -> None:
        for port in self._servers:
            self.kill(port)

    @staticmethod
    def _linked(port: int) -> bool:
        facts = redis.Redis(port=port).info("replication")
        return facts["connected_slaves"] == 1 and facts["slave0"]["state"] == "online"


class Sentinels:
    """The three Sentinels."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports

    @property
    def url(self) -> str:
        """Return the URLs as Celery writes them."""
        return ";".join(f"sentinel://127.0.0.1:{port}/0" for port in self.ports)

    def primary(self, name: str) -> int:
        """Return the port of the primary, by the first Sentinel."""
        client = redis.Redis(port=self.ports[0], decode_responses=True)
        return int(client.sentinel_get_master_addr_by_name(name)[1])

    def agree(self, name: str) -> bool:
        """Return whether each Sentinel knows both others and the replica."""
        for port in self.ports:
            with suppress(redis.RedisError):
                client = redis.Redis(port=port, decode_responses=True)
                facts = client.sentinel_master(name)
                known = facts["num-other-sentinels"], facts["num-slaves"]
                if [int(number) for number in known] == [2, 1]:
                    continue
            return False
        return True


@contextmanager
def running(folder: Path, *pairs: Pair) -> Iterator[Sentinels]:
    """Run Sentinels over pairs that run."""
    sentinels = Sentinels([free_port() for _ in range(3)])
    processes = []
    try:
        for port in sentinels.ports:
            home = folder / f"sentinel-{port}"
            home.mkdir(parents=True)
            text = _SENTINEL.format(port=port, folder=home) + "".join(
                _WATCHED.format(
                    name=pair.name, primary=pair.ports[0], down=DOWN_SECONDS * 1000
                )
                for pair in pairs
            )
            (home / "sentinel.conf").write_text(text)
            words = [str(valkey.binary()), str(home / "sentinel.conf"), "--sentinel"]
            with (home / "log").open("wb") as log:
                processes.append(subprocess.Popen(words, stdout=log, stderr=log))
        for pair in pairs:
            until(
                lambda name=pair.name: sentinels.agree(name),
                _START_SECONDS,
                f"the Sentinels agree about {pair.name}",
            )
        yield sentinels
    finally:
        for process in processes:
            process.kill()
            process.wait(60)
