"""The HTTP server: gunicorn's threaded worker, which no slow client can hold.

``gunicorn --worker-class api.server.Worker``. The main thread alone waits for heads
and for the beginnings of bodies; a request's thread gets what is here and never waits
for a client. Two other groups of threads do: one receives the rest of large bodies,
one sends files, streams, and what a client did not take at once. All waits end: by
``api.header_seconds``, and by the least rate of ``api.body_seconds`` and
``api.body_rate``.
"""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.http import wsgi
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import ThreadWorker

from api.server.connections import HEAD_BYTES, Answer, Connection
from common.errors import BodyTooLarge, BodyTooSlow, RequestError
from common.settings.load import Settings

# Answers up to this size are made whole before they are sent.
_SHORT_BYTES = 1024 * 1024
_RECEIVE_BYTES = 64 * 1024
_LOOK_SECONDS = 0.25
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 1024 * 1024
_OPEN_FILES = 8192


class Next(Enum):
    """What becomes of a connection when a thread is done with it."""

    RECEIVE = "receive"
    SEND = "send"
    REST = "rest"
    CLOSE = "close"


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's thread worker with waits of its own."""

    alive: bool

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._waiting: set[Connection] = set()
        self._look = 0.0

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Raise ValueError for a configuration that this worker does not support."""
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise ValueError(
                "api.server.Worker does not support TLS: put a proxy in front of it"
            )

    def init_process(self) -> None:
        """Start the threads, then serve."""
        self._limits = Settings.load().api
        count = self._limits.transfers
        self._receiving = ThreadPoolExecutor(count, thread_name_prefix="receive")
        self._sending = ThreadPoolExecutor(count, thread_name_prefix="send")
        _allow_open_files()
        super().init_process()

    # The main thread: connections that wait.

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection; at the limit, close the one that has waited longest."""
        with suppress(BlockingIOError, ConnectionAbortedError):
            sock, client = listener.accept()
            self.nr_conns += 1
            self._wait(
                Connection(self.cfg, sock, client, listener.getsockname(), self._limits)
            )
            if self.nr_conns >= self.worker_connections:
                self._make_room()

    def _make_room(self) -> None:
        silent = [one for one in self._waiting if one.state in {"idle", "head"}]
        if silent:
            self._drop(min(silent, key=lambda one: one.deadline))

    def _wait(self, conn: Connection) -> None:
        conn.sock.settimeout(0)
        self._waiting.add(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_bytes, conn))

    def _leave(self, conn: Connection) -> None:
        self._waiting.discard(conn)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection) -> None:
        self._leave(conn)
        self.nr_conns -= 1
        conn.close()

    def _on_bytes(self, conn: Connection, sock: socket.socket) -> None:
        try:
            data = sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data and conn.state == "body":
            self._leave(conn)
            self._begin(conn)  # what came of a body may count
        elif not data:
            self._drop(conn)
        elif conn.state == "ending":
            conn.drained += len(data)
            if conn.drained > _LINGER_BYTES:
                self._drop(conn)
        elif conn.receive(data):
            self._leave(conn)
            self._begin(conn)

    def _begin(self, conn: Connection) -> None:
        if len(conn.head) > HEAD_BYTES and b"\r\n\r\n" not in conn.head:
            self._refuse(conn, BodyTooLarge(f"a head of over {HEAD_BYTES} bytes"), 431)
            return
        conn.take()
        self._submit(self.tpool, self.handle, conn)

    def _submit(
        self,
        pool: ThreadPoolExecutor,
        work: Callable[[Connection], Next],
        conn: Connection,
    ) -> None:
        future = pool.submit(work, conn)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def finish_request(self, conn: Connection, done: Future[Next]) -> None:
        """Send a connection on when a thread is done with it."""
        following = Next.CLOSE if done.cancelled() else done.result()
        if following is Next.RECEIVE:
            self._submit(self._receiving, self.handle, conn)
        elif following is Next.SEND:
            self._submit(self._sending, self._send, conn)
        elif following is Next.REST:
            conn.rest(self.cfg.keepalive if self.alive else 0)
            if conn.head and conn.is_ready():
                self._begin(conn)
            else:
                self._wait(conn)
        else:
            self._end(conn)

    def _end(self, conn: Connection) -> None:
        """Shut down our side and read the client to its end, so that it reads all."""
        with suppress(OSError):
            conn.sock.shutdown(socket.SHUT_WR)
            conn.state, conn.deadline = "ending", time.monotonic() + _LINGER_SECONDS
            self._wait(conn)
            return
        self.nr_conns -= 1
        conn.close()

    def _refuse(self, conn: Connection, error: RequestError, status: int) -> None:
        with suppress(OSError):
            conn.sock.settimeout(0)
            conn.sock.send(_problem(error, status))
        self._end(conn)

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002
        """End the waits whose time is over, or, with ``force``, all of them."""
        now = time.monotonic()
        if now < self._look and not force:
            return
        self._look = now + _LOOK_SECONDS
        for conn in [one for one in self._waiting if force or one.deadline <= now]:
            self._leave(conn)
            if conn.state == "body" and not force:
                conn.incoming.is_late = True  # so the application hears of it
                self._begin(conn)
            elif conn.state == "head" and conn.head and not force:
                self._refuse(conn, BodyTooSlow("the request came too slowly"), 408)
            else:
                self._drop(conn)

    def murder_pending(self) -> None:
        """Do nothing: one kind of wait is all there is."""

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in self._waiting:
            if conn.state in {"idle", "head"}:
                conn.deadline = min(conn.deadline, deadline)

    # A request's thread, then one that receives, then one that sends.

    def handle(self, conn: Connection) -> Next:
        """Answer a request whose body is here, or, on a receiving thread, comes."""
        return self._guarded(conn, self._handle)

    def _guarded(self, conn: Connection, step: Callable[[Connection], Next]) -> Next:
        try:
            return step(conn)
        except (NoMoreData, StopIteration, TimeoutError, ConnectionError) as error:
            self.log.debug("Connection ended: %s", error)
        except OSError:
            self.log.exception("Socket error processing request.")
        except Exception as error:  # noqa: BLE001 - gunicorn answers and logs it
            conn.sock.settimeout(1)
            self.handle_error(conn.request, conn.sock, conn.client, error)
        return Next.CLOSE

    def _handle(self, conn: Connection) -> Next:
        if conn.request is None:
            conn.request = next(conn.parser)
            if not conn.has_whole_request():
                return Next.RECEIVE
        else:
            conn.incoming.is_open = True
        answer = self._ask(conn)
        response = answer.response
        if not conn.skip_body() or not (self.alive and self.cfg.keepalive):
            response.force_close()
        if not _is_short(response):
            conn.answer = answer
            return Next.SEND
        self._write(answer)
        if answer.outgoing.flush():
            return _after(answer)
        conn.answer = answer
        return Next.SEND

    def _ask(self, conn: Connection) -> Answer:
        request, outgoing = conn.request, conn.outgoing()
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        response, environ = wsgi.create(
            request, outgoing, conn.client, conn.server, self.cfg
        )
        environ["gunicorn.socket"] = conn.sock
        environ["wsgi.multithread"] = True
        chunks = self.wsgi(environ, response.start_response)
        return Answer(request, response, environ, chunks, outgoing)

    def _write(self, answer: Answer) -> None:
        response, chunks = answer.response, answer.chunks
        try:
            if isinstance(chunks, wsgi.FileWrapper):
                response.write_file(chunks)
            else:
                for chunk in chunks:
                    response.write(chunk)
            response.close()
        finally:
            spent = timedelta(seconds=time.monotonic() - answer.began)
            self.log.access(response, answer.request, answer.environ, spent)
            answer.chunks = None
            if hasattr(chunks, "close"):
                chunks.close()

    def _send(self, conn: Connection) -> Next:
        return self._guarded(conn, self._send_rest)

    def _send_rest(self, conn: Connection) -> Next:
        answer = conn.answer
        if answer is None:
            return Next.CLOSE
        try:
            answer.outgoing.open()
        except BaseException:
            if answer.chunks is not None and hasattr(answer.chunks, "close"):
                answer.chunks.close()
            raise
        if answer.chunks is not None:
            self._write(answer)
        return _after(answer)


def _is_short(response: Any) -> bool:
    if response.status is None:
        return False
    length = response.response_length
    return response._omits_body or (  # noqa: SLF001
        length is not None and length <= _SHORT_BYTES
    )


def _after(answer: Answer) -> Next:
    return Next.CLOSE if answer.response.should_close() else Next.REST


def _problem(error: RequestError, status: int) -> bytes:
    public = error.as_dict()
    body = json.dumps(
        {"type": f"/docs/errors#{error.code}", "status": status, **public}
    ).encode()
    title = "Request Timeout" if status == 408 else "Request Header Fields Too Large"
    lines = [
        f"HTTP/1.1 {status} {title}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _allow_open_files() -> None:
    """Raise the soft limit: each connection is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
