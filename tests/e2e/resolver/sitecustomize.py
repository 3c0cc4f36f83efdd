"""A resolver for tests: the interpreter imports this where PYTHONPATH has its folder.

``rebind.test`` is 127.0.0.3 at first and 127.0.0.1 from then on, in each process.
"""

from __future__ import annotations

import itertools
import socket
from typing import Any

NAMES = {
    "loop.test": ["127.0.0.1"],
    "both.test": ["127.0.0.3", "127.0.0.1"],
    "six.test": ["::1"],
    "mapped.test": ["::ffff:127.0.0.1"],
}
_ask_system = socket.getaddrinfo
_first = itertools.chain(["127.0.0.3"], itertools.repeat("127.0.0.1"))


def getaddrinfo(host: Any, port: Any, *more: Any, **named: Any) -> list[Any]:
    found = [next(_first)] if host == "rebind.test" else NAMES.get(host)
    if found is None:
        return _ask_system(host, port, *more, **named)
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, int(port), 0, 0))
        if ":" in one
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, int(port)))
        for one in found
    ]


socket.getaddrinfo = getaddrinfo
