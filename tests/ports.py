"""Ports of loopback, for servers that are told theirs, and for none at all."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

# No outgoing connection gets a port below this (Linux, ip-sysctl); ours are above
# those that services have by custom.
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10240
_given: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens on, each time another.

    The kernel's own choice, by binding to 0, is one that it may give to somebody's
    connection before the server binds it.
    """
    end = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else _LOWEST
    for _ in range(100):
        port = _LOWEST + secrets.randbelow(end - _LOWEST) if end > _LOWEST else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # taken
                continue
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port
    raise AssertionError(f"no free port from {_LOWEST} to {end}")
