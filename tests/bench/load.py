"""A load generator that costs little: prebuilt requests over raw sockets.

HTTP/1.1 with keep-alive; all answers but 304 must carry Content-Length. One thread, so
that on few cores the server is what is measured.
"""

from __future__ import annotations

import math
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass
class Result:
    """What came of a run; ``seconds`` has each answer's time, from when it was due."""

    elapsed: float = 0.0
    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.seconds) / self.elapsed

    def percentile(self, share: float) -> float:
        """Return the time, in milliseconds, within which that share was answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def _connect(port: int) -> socket.socket:
    connected = socket.create_connection(("127.0.0.1", port))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = _connect(port)
        self.received = self.request = b""
        self.due = 0.0

    def send(self, request: bytes, due: float) -> None:
        self.due, self.received, self.request = due, b"", request
        self.socket.sendall(request)

    def open(self, port: int) -> None:
        """Connect again."""
        self.socket.close()
        self.socket = _connect(port)

    def answer(self) -> int | None:
        """Read what has come; gives the status once the answer is whole."""
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self.received += chunk
        head, parted, body = self.received.partition(b"\r\n\r\n")
        if not parted:
            return None
        if head[9:12] == b"304":
            return 304
        length = _LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return None
        return int(head[9:12])


def once(port: int, request: bytes) -> None:
    """Send one request, and await its answer."""
    one = _Connection(port)
    one.send(request, 0.0)
    while one.answer() is None:
        pass
    one.socket.close()


def run(
    port: int,
    request: Callable[[], bytes],
    *,
    seconds: float,
    connections: int,
    rate: float | None = None,
    most: float = math.inf,
) -> Result:
    """Send what ``request`` returns for ``seconds``, and await all answers.

    It ends earlier when ``most`` requests have been sent.

    Without ``rate`` each connection sends as soon as it is answered; with it requests
    are due at that many a second, whether or not a connection is free by then.
    """
    selector = selectors.DefaultSelector()
    # In turns: a server closes connections that it has not heard of for long.
    idle = deque(_Connection(port) for _ in range(connections))
    for one in idle:
        selector.register(one.socket, selectors.EVENT_READ, one)
    everyone, result = list(idle), Result()
    began = due = time.perf_counter()
    sent = 0

    def goes_on() -> bool:
        return now - began < seconds and sent < most

    while (now := time.perf_counter()) and (goes_on() or len(idle) < connections):
        while idle and goes_on() and (rate is None or due <= now):
            idle.popleft().send(request(), now if rate is None else due)
            sent += 1
            due += 0 if rate is None else 1 / rate
        pause = 0.2 if rate is None or not idle else max(0.0, due - now)
        for key, _ in selector.select(pause):
            try:
                status = key.data.answer()
            except ConnectionError:
                # As every client must: the server may end what it takes for idle.
                selector.unregister(key.fileobj)
                key.data.open(port)
                selector.register(key.data.socket, selectors.EVENT_READ, key.data)
                if key.data not in idle:
                    key.data.send(key.data.request, key.data.due)
                continue
            if status is not None:
                result.seconds.append(time.perf_counter() - key.data.due)
                result.statuses[status] = result.statuses.get(status, 0) + 1
                idle.append(key.data)
    result.elapsed = time.perf_counter() - began
    selector.close()
    for one in everyone:
        one.socket.close()
    return result
