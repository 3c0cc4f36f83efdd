"""Clients that send one byte now and then, by the dozen, hold up nobody."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest

from tests.conftest import SAMPLE

HEAD = "GET /healthz HTTP/1.1\r\nHost: {host}\r\nX-Slow: "
FORM = (
    "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 90000000\r\n\r\n"
)
UPLOAD = "POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\n" + FORM
TOO_LONG = 5.0  # a busy machine is no slow client


@pytest.mark.parametrize(
    ("count", "beginning"),
    [
        (17, "G"),
        (200, ""),
        (40, HEAD),
        (40, UPLOAD + "--B\r\n"),
        (
            40,
            UPLOAD + "--B\r\nContent-Disposition: form-data; name=file; "
            "filename=a\r\n\r\n" + "x" * 70_000,
        ),
    ],
    ids=["bytes", "silent", "heads", "bodies", "uploads"],
)
def test_slow_clients_hold_up_nobody(service, count, beginning):
    place = urlsplit(service.url)
    data = beginning.format(host=place.netloc).encode()
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((place.hostname, place.port)))
            for _ in range(count)
        ]
        for one in slow:
            one.sendall(data)
        stop = threading.Event()
        stack.callback(stop.set)
        if data:
            threading.Thread(target=drip, args=(slow, stop), daemon=True).start()
        time.sleep(0.5)
        began = time.monotonic()
        with urllib.request.urlopen(f"{service.url}/healthz", timeout=15) as answer:
            assert answer.status == 200
        assert time.monotonic() - began < TOO_LONG
        began = time.monotonic()
        job = service.post(SAMPLE, [{"kind": "thumbnail"}])
        assert time.monotonic() - began < TOO_LONG
        assert service.wait(job)["status"] == "completed"


def drip(slow: list[socket.socket], stop: threading.Event) -> None:
    while not stop.wait(1):
        for one in slow:
            with suppress(OSError):
                one.send(b"a")


def test_a_head_that_never_ends_is_refused(service):
    place = urlsplit(service.url)
    began = time.monotonic()
    with socket.create_connection((place.hostname, place.port), 30) as slow:
        slow.sendall(HEAD.format(host=place.netloc).encode())
        answer = slow.recv(1000)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 20
