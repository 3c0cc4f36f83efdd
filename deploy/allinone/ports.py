"""Ports: those requested, else last time's, else free ones."""

from __future__ import annotations

import json
import secrets
import socket
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
# No outgoing connection gets a port below this range (Linux, ip-sysctl); ours are above
# those that services have by custom.
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _DRAWS = 10240, 100


class PortTaken(RuntimeError):
    """A requested port is in use."""


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; raise OSError if the port is taken."""
    server = socket.create_server((host, port), backlog=256)
    server.set_inheritable(True)
    return server


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Return True if a server could listen on the port now."""
    try:
        listen(host, port).close()
    except OSError:
        return False
    return True


def draw(host: str = LOOPBACK) -> int:
    """Return a port that is free now, drawn from those that no connection gets.

    The kernel's own choice, by binding to 0, is one that it may give to somebody's
    outgoing connection before the server binds it. Raises PortTaken if none is found.
    """
    end = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 0
    for _ in range(_DRAWS):
        port = _LOWEST + secrets.randbelow(end - _LOWEST) if end > _LOWEST else 0
        with suppress(OSError), listen(host, port) as server:
            return int(server.getsockname()[1])
    raise PortTaken(f"no port of {host} is free from {_LOWEST} to {end}")


class Ports:
    """The ports of one data folder, remembered in ``ports.json``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, int] = {}
        if path.exists():
            self._known = json.loads(path.read_text())

    def last(self, name: str, preferred: int) -> int:
        """Return the port of last time, or the preferred one at the first time."""
        return self._known.get(name, preferred)

    def choose(self, name: str, preferred: int) -> int:
        """Return last time's port, the preferred one, or any that is free."""
        for port in (self.last(name, preferred), preferred):
            if is_free(port) and port not in self._others(name):
                return self._keep(name, port)
        return self._keep(name, draw())

    def open(
        self, name: str, *, requested: int | None, preferred: int, host: str = LOOPBACK
    ) -> socket.socket:
        """Open the listening socket itself, so that no other server can answer.

        Raises PortTaken if the requested port is in use.
        """
        if requested is None:
            return listen(host, self.choose(name, preferred))
        try:
            server = listen(host, requested)
        except OSError as error:
            raise PortTaken(
                f"cannot listen on port {requested} of {host} ({error.strerror}): name "
                "another one by --port, or leave --port out: then a free one is used"
            ) from error
        self._keep(name, requested)
        return server

    def _others(self, name: str) -> set[int]:
        return {port for other, port in self._known.items() if other != name}

    def _keep(self, name: str, port: int) -> int:
        self._known[name] = port
        self._path.write_text(json.dumps(self._known, indent=1) + "\n")
        return port
