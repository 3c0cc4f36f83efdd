"""A relay before a TCP server, whose connections can be cut or go dead."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16


class Relay:
    """Passes what comes to a port of loopback on to another, in both directions.

    :meth:`deafen` makes the connections of now half open, as a host that vanished
    does: they stay, and nothing passes any more. New ones work.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._server.getsockname()[1])
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def cut(self) -> int:
        """Close every connection; return how many there were."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.close()
        return len(pairs)

    def deafen(self) -> int:
        """Let nothing pass through the connections of now; return their number."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.deaf = True
        return len(pairs)

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:  # closed
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:  # the server is away: so is its port
                near.close()
                continue
            far.settimeout(None)
            pair = _Pair(near, far)
            with self._lock:
                self._pairs.add(pair)
            for ends in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pass, args=(pair, *ends), daemon=True
                ).start()

    def _pass(self, pair: _Pair, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK):
                if not pair.deaf:
                    target.sendall(chunk)
        # A half-open connection stays until the one end that knows closes it.
        pair.close()
        with self._lock:
            self._pairs.discard(pair)


class _Pair:
    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self._ends = (near, far)
        self.deaf = False

    def close(self) -> None:
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
