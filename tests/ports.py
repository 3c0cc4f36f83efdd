"""Ports of loopback, for servers that are told theirs, and for none at all."""

from __future__ import annotations

from deploy.allinone import ports

_given: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens on, each time another."""
    while (port := ports.draw()) in _given:
        pass
    _given.add(port)
    return port
