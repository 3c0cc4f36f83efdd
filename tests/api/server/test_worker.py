"""api.server.Worker: nobody who is slow holds up who is not."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.api.server.app import BIG_BYTES
from tests.api.uploads.context import start
from tests.ports import free_port

HERE = Path(__file__).parent
THREADS = 4
SETTINGS = {
    "FRAMEMILL_API_HEADER_SECONDS": "2",
    "FRAMEMILL_API_BODY_SECONDS": "2",
    "FRAMEMILL_API_BODY_RATE": "1000",
}
# The machine may be busy; a request that a slow client held would take 2 s and more.
SOON = 1.5


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    argv = [str(Path(sys.executable).parent / "gunicorn"), "--chdir", str(HERE)]
    argv += ["--pythonpath", str(HERE.parents[2]), "-k", "api.server.Worker"]
    argv += ["--threads", str(THREADS), "--worker-connections", "100"]
    argv += ["--no-control-socket", "-b", f"127.0.0.1:{port}", "app:app"]
    process = start(argv, port, SETTINGS)
    yield port
    process.terminate()
    process.wait(60)


def connect(port: int, data: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 30)
    sock.sendall(data)
    return sock


def heard(sock: socket.socket) -> bytes:
    """Read to the end of the connection."""
    found = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(65536):
            found += data
    return found


def ask(port: int, path: str = "/ok", body: bytes | None = None) -> float:
    """Send an ordinary request; returns the seconds that its answer took."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST" if body else "GET", path, body)
    answer = connection.getresponse()
    assert answer.status == 200
    answer.read()
    connection.close()
    return time.monotonic() - began


GET = b"GET /ok HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"G",
        GET + b"A: ",
        POST + b"Content-Length: 1000\r\n\r\nx",
        POST + b"Content-Length: 100000000\r\n\r\n" + bytes(70_000),
        POST + b"Transfer-Encoding: chunked\r\n\r\nffffff\r\nx",
    ],
    ids=["silent", "byte", "head", "body", "upload", "chunked"],
)
def test_slow_senders_are_cut_off_and_hold_up_nobody(
    port: int, beginning: bytes
) -> None:
    with ExitStack() as stack:
        slow = [
            stack.enter_context(connect(port, beginning)) for _ in range(4 * THREADS)
        ]
        assert ask(port) < SOON
        assert ask(port, "/echo", bytes(200_000)) < SOON
        ends = time.monotonic() + 30
        while (left := len(slow)) and time.monotonic() < ends:
            with suppress(OSError):
                slow[0].settimeout(0.1)
                if beginning:
                    slow[0].send(b"a")  # a byte now and then is not enough
                answer = heard(slow[0])
                assert (b" 408 " in answer) == bool(beginning)
                slow.pop(0)
        assert left == 0


def test_a_slow_but_steady_body_is_taken(port: int) -> None:
    with connect(port, POST + b"Content-Length: 100000\r\n\r\n") as sock:
        for _ in range(20):
            sock.sendall(bytes(5000))
            time.sleep(0.2)
        answer = sock.recv(1000)
    assert hashlib.sha256(bytes(100_000)).hexdigest().encode() in answer


def test_100_continue_is_sent_once_and_before_the_body(port: int) -> None:
    head = POST + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n"
    with connect(port, head) as sock:
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(bytes(100_000))
        answer = sock.recv(1000)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"100000 " in answer


def test_requests_in_one_task_are_answered_in_order(port: int) -> None:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    sized = POST + b"Content-Length: 5\r\n\r\nabcde"
    last = GET + b"Connection: close\r\n\r\n"
    with connect(port, GET + b"\r\n" + chunked + sized + last) as sock:
        answers = heard(sock).split(b"HTTP/1.1 200 OK")
    assert [answer.split(b"\r\n\r\n")[-1][:2] for answer in answers] == [
        b"",
        b"ok",
        b"3 ",
        b"5 ",
        b"ok",
    ]


def test_a_body_that_comes_in_chunks_is_whole(port: int) -> None:
    with connect(port, b"\r\n" + POST[:10]) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for chunk in (POST[10:] + b"Content-Le", b"ngth: 6\r\n\r", b"\nab", b"cdef"):
            time.sleep(0.05)
            sock.sendall(chunk)
        answer = sock.recv(1000)
    assert hashlib.sha256(b"abcdef").hexdigest().encode() in answer


def test_a_body_that_was_not_read_ends_the_connection(port: int) -> None:
    head = b"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    with connect(port, head + bytes(100_000)) as sock:
        answer = heard(sock)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\n\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (GET + b"A: " + bytes(70_000).replace(b"\0", b"a"), b"431"),
        (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", b"400"),
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0", b"400"),
    ],
)
def test_a_wrong_head_is_refused_at_once(port: int, head: bytes, status: bytes) -> None:
    with connect(port, head) as sock:
        assert heard(sock)[9:12] == status


def test_readers_that_do_not_read_are_cut_off_and_hold_up_nobody(port: int) -> None:
    with ExitStack() as stack:
        requested = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"
        idle = [
            stack.enter_context(connect(port, requested)) for _ in range(4 * THREADS)
        ]
        assert ask(port) < SOON
        assert ask(port, "/big") > 0
        time.sleep(7)  # three times BODY_SECONDS
        assert all(len(heard(sock)) < BIG_BYTES for sock in idle)


def test_a_reader_that_is_slow_but_steady_has_it_all(port: int) -> None:
    with connect(port, b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
        size, began = 0, time.monotonic()
        while size < BIG_BYTES:
            size += len(sock.recv(1 << 18))
            if time.monotonic() - began < 8:
                time.sleep(0.1)
    assert size > BIG_BYTES


def test_a_stream_comes_as_it_is_made(port: int) -> None:
    with connect(port, GET.replace(b"/ok", b"/stream") + b"\r\n") as sock:
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            answer += sock.recv(1000)
    assert b"\r\n2\r\n0\n\r\n2\r\n1\n\r\n2\r\n2\n\r\n0\r\n\r\n" in answer


def test_over_the_limit_of_connections_the_silent_ones_make_room(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(connect(port, b"G"))
        assert ask(port) < SOON


def test_a_connection_is_used_again_until_it_is_idle_for_long(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    seen = set()
    for size in (3, 70_000, 200_000):
        connection.request("POST", "/echo", os.urandom(size))
        answer = connection.getresponse()
        assert answer.read().startswith(str(size).encode())
        seen.add(connection.sock and connection.sock.getsockname())
    assert len(seen) == 1
    assert connection.sock is not None
    assert heard(connection.sock) == b""
    connection.close()
