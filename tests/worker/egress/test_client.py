"""The egress client: what is refused, what is bounded, what passes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from common.errors import (
    AddressRefused,
    Interrupted,
    SourceError,
    SourceForbidden,
    SourceNotFound,
    TooLarge,
    Unreachable,
)
from common.settings.sections import Egress
from tests.worker.receiver import Receiver, Reply, Request, receiving
from tests.worker.source.bad_urls import BAD_URLS
from worker.egress import EgressClient

LOOPBACK = ["127.0.0.0/8", "::1/128"]

NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "loop.test": ["127.0.0.1"],
    "both.test": ["93.184.215.14", "127.0.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
}


def _lookup(host: str, _port: int) -> list[str]:
    if host in NAMES:
        return NAMES[host]
    message = "no such name"
    raise socket.gaierror(message)


@pytest.fixture
def canary() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def _strict(
    port: int, resolve: Callable[[str, int], list[str]] = _lookup
) -> EgressClient:
    return EgressClient(Egress(http=True, ports=[443, port]), resolve=resolve)


def _open(port: int, **more: object) -> EgressClient:
    """Return a client that may reach loopback, as a private set-up would."""
    settings = Egress.model_validate(
        {"http": True, "ports": [port], "private_networks": LOOPBACK, **more}
    )
    return EgressClient(settings, resolve=lambda _host, _port: ["127.0.0.1"])


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_source_at_a_bad_address_never_reaches_the_canary(
    url: str, canary: Receiver, tmp_path: Path
) -> None:
    egress = _strict(canary.port)
    with pytest.raises(AddressRefused):
        egress.download(
            url.replace("{p}", str(canary.port)), tmp_path / "x", max_bytes=9
        )
    assert canary.touched == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_webhook_at_a_bad_address_never_reaches_the_canary(
    url: str, canary: Receiver
) -> None:
    egress = _strict(canary.port)
    with pytest.raises(AddressRefused):
        egress.post(url.replace("{p}", str(canary.port)), b"{}", {}, seconds=5)
    assert canary.touched == 0


def test_given_only_https_then_http_is_refused(canary: Receiver) -> None:
    egress = EgressClient(Egress(ports=[canary.port], private_networks=LOOPBACK))
    with pytest.raises(AddressRefused, match="scheme 'http'"):
        egress.post(canary.url, b"", {}, seconds=5)
    assert canary.touched == 0


def test_given_a_rebinding_name_then_it_is_resolved_once(canary: Receiver) -> None:
    """The first answer is public, every later one is the canary."""
    requested: list[str] = []

    def rebind(host: str, _port: int) -> list[str]:
        requested.append(host)
        return ["192.0.0.1" if len(requested) > 1 else "127.0.0.1"]

    settings = Egress(http=True, ports=[canary.port], private_networks=LOOPBACK)
    EgressClient(settings, resolve=rebind).post(
        f"http://re.test:{canary.port}/", b"", {}, seconds=5
    )
    assert requested == ["re.test"]
    assert canary.requests[0].headers["host"] == f"re.test:{canary.port}"


def test_given_a_name_that_turns_to_loopback_then_the_second_call_is_refused(
    canary: Receiver,
) -> None:
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])
    egress = _strict(canary.port, lambda _host, _port: next(answers))
    rules = egress._rules  # the first answer must not be dialled here
    rules.check_address(ip_address(next(answers)[0]), "re.test")
    with pytest.raises(AddressRefused):
        egress.post(f"http://re.test:{canary.port}/", b"", {}, seconds=5)
    assert canary.touched == 0


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{p}/",
        "http://[::1]:{p}/",
        "http://2130706433:{p}/",
        "//127.0.0.2:{p}/",
        "file:///etc/passwd",
        "http://loop.test:{p}/",
        "http://u@127.0.0.1:{p}/",
        "http://127.0.0.1:22/",
    ],
)
def test_a_source_that_redirects_to_a_bad_address_is_refused(
    location: str, canary: Receiver, tmp_path: Path
) -> None:
    target = location.replace("{p}", str(canary.port))
    with receiving(lambda _r: Reply(302, {"Location": target})) as first:
        settings = Egress(
            http=True,
            ports=[first.port, canary.port],
            private_networks=["127.0.0.1/32"],
        )
        egress = EgressClient(settings, resolve=lambda _host, _port: ["127.0.0.3"])
        with pytest.raises(AddressRefused):
            egress.download(first.url, tmp_path / "x", max_bytes=99)
    assert canary.touched == 0


def test_a_source_that_redirects_to_an_allowed_address_is_followed(
    tmp_path: Path,
) -> None:
    def answer(request: Request) -> Reply:
        if request.path == "/a":
            return Reply(302, {"Location": "/b?x=1"})
        return Reply(200, {"ETag": '"e1"', "Content-Type": "video/mp4"}, b"bytes")

    with receiving(answer) as server:
        got = _open(server.port).download(
            f"{server.url}/a", tmp_path / "x", max_bytes=5
        )
    assert (tmp_path / "x").read_bytes() == b"bytes"
    assert (got.size, got.etag, got.content_type) == (5, "e1", "video/mp4")
    assert [request.path for request in server.requests] == ["/a", "/b?x=1"]


def test_a_source_that_redirects_for_ever_ends(tmp_path: Path) -> None:
    with receiving(lambda _r: Reply(302, {"Location": "/"})) as server:
        with pytest.raises(SourceError, match="more than 2 redirects"):
            _open(server.port, redirects=2).download(
                server.url, tmp_path / "x", max_bytes=5
            )
        assert len(server.requests) == 3


def test_a_webhooks_redirect_is_answered_not_followed(canary: Receiver) -> None:
    with receiving(lambda _r: Reply(307, {"Location": canary.url})) as server:
        answer = _open(server.port).post(server.url, b"{}", {}, seconds=5)
    assert answer.status == 307
    assert canary.touched == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_source_over_the_cap_leaves_no_file(chunked: bool, tmp_path: Path) -> None:
    body: bytes | Iterator[bytes] = b"x" * 100
    with (
        receiving(lambda _r: Reply(200, {}, iter([body]) if chunked else body)) as s,
        pytest.raises(TooLarge),
    ):
        _open(s.port).download(s.url, tmp_path / "x", max_bytes=99)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_ends_early_is_retryable_and_leaves_no_file(
    tmp_path: Path,
) -> None:
    with (
        receiving(lambda _r: Reply(200, {"Content-Length": "9"}, b"four")) as server,
        pytest.raises(Unreachable, match="4 of 9 bytes") as caught,
    ):
        _open(server.port).download(server.url, tmp_path / "x", max_bytes=99)
    assert caught.value.retryable
    assert list(tmp_path.iterdir()) == []


def _drip() -> Iterator[bytes]:
    for _ in range(2000):
        time.sleep(0.05)
        yield b"."


def test_a_source_that_drips_is_ended_by_the_total_deadline(tmp_path: Path) -> None:
    with receiving(lambda _r: Reply(200, {}, _drip())) as server:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="took too long"):
            _open(server.port).download(
                server.url, tmp_path / "x", max_bytes=9999, deadline_seconds=0.3
            )
        assert time.monotonic() - began < 50
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_drips_is_ended_by_the_least_rate(tmp_path: Path) -> None:
    """20 bytes a second held a slot for the hour that a download may take."""
    with receiving(lambda _r: Reply(200, {}, _drip())) as server:
        egress = _open(server.port, source_rate=1000, rate_seconds=0.5)
        with pytest.raises(Unreachable, match="FRAMEMILL_EGRESS_SOURCE_RATE") as slow:
            egress.download(server.url, tmp_path / "x", max_bytes=9999)
    assert "1000 bytes a second" in str(slow.value.detail)
    assert slow.value.retryable
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_stops_is_ended_by_the_least_rate(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        egress = _open(port, source_rate=1, rate_seconds=0.3)
        with pytest.raises(Unreachable, match="sent 0 bytes"):
            egress.download(f"http://127.0.0.1:{port}/", tmp_path / "x", max_bytes=9)


def test_a_source_at_the_least_rate_is_saved(tmp_path: Path) -> None:
    body = [bytes(500)] * 6

    def steady() -> Iterator[bytes]:
        for chunk in body:
            time.sleep(0.05)
            yield chunk

    with receiving(lambda _r: Reply(200, {}, steady())) as server:
        egress = _open(server.port, source_rate=1000, rate_seconds=0.1)
        saved = egress.download(server.url, tmp_path / "x", max_bytes=9999)
    assert saved.size == 3000


def test_a_receiver_that_drips_its_headers_is_ended_by_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(Unreachable, match="took too long"):
            _open(port).post(f"http://127.0.0.1:{port}/", b"x", {}, seconds=0.3)


def test_a_slow_resolver_is_ended_by_the_deadline() -> None:
    let = threading.Event()

    def slow(_host: str, _port: int) -> list[str]:
        let.wait(60)
        return []

    with pytest.raises(Unreachable, match="took too long"):
        EgressClient(Egress(), resolve=slow).post(
            "https://a.test/", b"", {}, seconds=0.2
        )
    let.set()


def test_a_download_stops_when_told(tmp_path: Path) -> None:
    with (
        receiving(lambda _r: Reply(200, {}, _drip())) as server,
        pytest.raises(Interrupted),
    ):
        _open(server.port).download(
            server.url, tmp_path / "x", max_bytes=999, should_stop=lambda: True
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, SourceNotFound),
        (410, SourceNotFound),
        (401, SourceForbidden),
        (403, SourceForbidden),
        (400, SourceError),
        (206, SourceError),
        (304, SourceError),
        (429, Unreachable),
        (503, Unreachable),
    ],
)
def test_a_sources_status_becomes_its_error(
    status: int, error: type[Exception], tmp_path: Path
) -> None:
    with receiving(lambda _r: Reply(status)) as server, pytest.raises(error):
        _open(server.port).download(server.url, tmp_path / "x", max_bytes=9)


def test_a_closed_port_is_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable):
        _open(port).download(f"http://127.0.0.1:{port}/", tmp_path / "x", max_bytes=9)


def test_an_error_never_shows_the_query(tmp_path: Path) -> None:
    with (
        receiving(lambda _r: Reply(500)) as server,
        pytest.raises(Unreachable) as caught,
    ):
        _open(server.port).download(
            f"{server.url}/v?token=s3cret", tmp_path / "x", max_bytes=9
        )
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("disposition", "path", "name"),
    [
        ('attachment; filename="a/../b.mp4"', "/v", "a/../b.mp4"),
        ("attachment; filename*=UTF-8''%E2%82%AC.mp4", "/v", "\u20ac.mp4"),
        ('attachment; filename="caf\u00e9.mp4"', "/v", "caf\u00e9.mp4"),
        ("attachment; filename*=UTF-8''\"a b.mp4\"", "/v", "a b.mp4"),
        ("", "/dir/my%20clip.mp4?x=1", "my clip.mp4"),
        ("", "/dir/caf%E9.mp4", "caf\u00e9.mp4"),
        ("", "/", None),
    ],
)
def test_a_sources_display_name(
    disposition: str, path: str, name: str | None, tmp_path: Path
) -> None:
    headers = {"Content-Disposition": disposition} if disposition else {}
    with receiving(lambda _r: Reply(200, headers, b"x")) as server:
        got = _open(server.port).download(
            server.url + path, tmp_path / "x", max_bytes=9
        )
    assert got.name == name
