"""Files at URLs that are read by ranges, by the rules of every request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import (
    AddressRefused,
    SourceChanged,
    SourceError,
    SourceForbidden,
    SourceNotFound,
    TooLarge,
    Unreachable,
)
from common.settings.sections import Egress
from tests.worker.range_server import FileServer
from tests.worker.receiver import Receiver, Reply, receiving
from worker.egress import Downloaded, EgressClient, Pin, Remote, expires_at

DATA = bytes(range(256)) * 8
PIN = Pin(len(DATA), etag="one")


@pytest.fixture
def files() -> FileServer:
    return FileServer(DATA)


@pytest.fixture
def server(files: FileServer) -> Iterator[Receiver]:
    with receiving(files.answer) as receiver:
        yield receiver


def egress(port: int, **more: Any) -> EgressClient:
    given = {"http": True, "ports": [port], "private_networks": ["127.0.0.0/8"]}
    return EgressClient(Egress.model_validate(given | more))


def look(server: Receiver, path: Path, **more: Any) -> Downloaded | Remote:
    given: dict[str, Any] = {"least": 100, "max_bytes": 5000} | more
    return egress(server.port).look_or_download(f"{server.url}/a.mp4", path, **given)


def test_a_part_that_a_server_sends_as_200_is_a_part(
    files: FileServer, server: Receiver, tmp_path: Path
) -> None:
    files.status = 200

    assert look(server, tmp_path / "x") == Remote(PIN, "video/mp4", "a.mp4")
    parts = egress(server.port).read_range(f"{server.url}/a.mp4", 100, 300, PIN)
    assert b"".join(parts) == DATA[100:300]


def test_a_large_file_whose_server_sends_ranges_is_not_downloaded(
    server: Receiver, tmp_path: Path
) -> None:
    assert look(server, tmp_path / "x") == Remote(PIN, "video/mp4", "a.mp4")
    assert [one.headers["range"] for one in server.requests] == ["bytes=0-99"]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("server_is", "least"),
    [
        ({}, len(DATA)),
        ({}, None),
        ({"ranges": False}, 0),
    ],
    ids=["small", "not wanted", "no ranges"],
)
def test_any_other_file_comes_with_the_same_request(
    files: FileServer,
    server: Receiver,
    tmp_path: Path,
    server_is: dict[str, Any],
    least: int | None,
) -> None:
    vars(files).update(server_is)
    found = look(server, tmp_path / "x", least=least)
    assert isinstance(found, Downloaded)
    assert (found.size, found.etag) == (len(DATA), "one")
    assert (tmp_path / "x").read_bytes() == DATA
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("server_is", "strong"),
    [
        ({"etag": 'W/"one"', "modified": None}, False),
        ({"etag": None}, True),
        ({"headers": {"Content-Encoding": "gzip"}}, False),
    ],
    ids=["weak etag", "date, but an etag is wanted", "encoded"],
)
def test_a_file_that_nothing_identifies_is_downloaded(
    files: FileServer,
    server: Receiver,
    tmp_path: Path,
    server_is: dict[str, Any],
    *,
    strong: bool,
) -> None:
    vars(files).update(server_is)
    assert isinstance(look(server, tmp_path / "x", strong=strong), Downloaded)
    assert (tmp_path / "x").read_bytes() == DATA


def test_without_a_strong_etag_the_date_and_the_length_identify_a_file(
    files: FileServer, server: Receiver, tmp_path: Path
) -> None:
    files.etag = 'W/"one"'
    found = look(server, tmp_path / "x")
    assert isinstance(found, Remote)
    assert found.pin == Pin(len(DATA), modified=files.modified)


def test_an_empty_file_is_an_empty_file(
    files: FileServer, server: Receiver, tmp_path: Path
) -> None:
    files.data = b""
    found = look(server, tmp_path / "x")
    assert isinstance(found, Downloaded)
    assert found.size == 0


def test_a_file_over_the_limit_is_refused_by_its_length(
    server: Receiver, tmp_path: Path
) -> None:
    with pytest.raises(TooLarge, match="2048"):
        look(server, tmp_path / "x", max_bytes=2047)


@pytest.mark.parametrize(
    ("status", "error"), [(404, SourceNotFound), (403, SourceForbidden)]
)
def test_a_refusal_of_the_first_request_is_what_it_is(
    status: int, error: type[SourceError], tmp_path: Path
) -> None:
    with receiving(lambda _: Reply(status)) as server, pytest.raises(error):
        look(server, tmp_path / "x")


def ranged(server: Receiver, start: int, end: int, pin: Pin = PIN) -> bytes:
    client = egress(server.port)
    return b"".join(client.read_range(f"{server.url}/a.mp4", start, end, pin))


def test_a_range_is_what_was_asked_for(server: Receiver) -> None:
    assert ranged(server, 100, 1000) == DATA[100:1000]
    (request,) = server.requests
    assert (request.headers["range"], request.headers["if-match"]) == (
        "bytes=100-999",
        '"one"',
    )


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize(
    "change",
    [{"etag": '"two"'}, {"data": DATA[:-1]}, {"data": DATA[:50]}],
    ids=["etag", "length", "shorter than the range"],
)
def test_a_file_that_changed_is_refused_also_by_servers_without_conditions(
    files: FileServer, server: Receiver, change: dict[str, Any], *, conditional: bool
) -> None:
    vars(files).update(change, conditional=conditional)
    with pytest.raises(SourceChanged):
        ranged(server, 100, 200)


def test_a_file_that_only_a_date_identifies_is_compared_by_it(
    files: FileServer, server: Receiver
) -> None:
    files.etag = None
    pin = Pin(len(DATA), modified=files.modified)
    assert ranged(server, 0, 10, pin) == DATA[:10]
    files.modified = "Sat, 28 Nov 2026 10:00:01 GMT"
    with pytest.raises(SourceChanged):
        ranged(server, 0, 10, pin)


@pytest.mark.parametrize(
    "change",
    [{"ranges": False}, {"cut": 1}, {"etag": None, "modified": None}],
    ids=["no range", "cut off", "nothing that identifies it"],
)
def test_an_answer_that_is_not_the_range_can_be_tried_again(
    files: FileServer, server: Receiver, change: dict[str, Any]
) -> None:
    vars(files).update(change, conditional=False)
    with pytest.raises(Unreachable):
        ranged(server, 100, 200)


def test_each_range_follows_the_redirects_and_checks_them(
    files: FileServer, server: Receiver
) -> None:
    target = f"{server.url}/b.mp4"
    with receiving(lambda _: Reply(302, {"Location": target})) as first:
        client = egress(first.port, ports=[first.port, server.port])
        for _ in range(2):
            url = f"{first.url}/a.mp4"
            assert b"".join(client.read_range(url, 0, 5, PIN)) == DATA[:5]
        assert len(first.requests) == 2
        target = "http://169.254.169.254/latest"
        with pytest.raises(AddressRefused):
            list(client.read_range(f"{first.url}/a.mp4", 0, 5, PIN))


@pytest.mark.parametrize(
    ("query", "expires"),
    [
        ("", None),
        ("v=2&token=x", None),
        ("X-Amz-Date=20261128T100000Z&X-Amz-Expires=3600&X-Amz-Signature=0", 3600),
        ("X-Goog-Date=20261128T100000Z&X-Goog-Expires=60&X-Goog-Signature=0", 60),
        ("AWSAccessKeyId=k&Expires=1795860010&Signature=s", 10),
        ("sv=2024&se=2026-11-28T10:00:05Z&sig=s", 5),
        ("sv=2024&se=2026-11-28T10:00:05&sig=s", 5),
        ("sv=2024&se=2026-11-28T11:00:05%2B01:00&sig=s", 5),
        ("sv=2024&se=2026-11-29&sig=s", 14 * 3600),
        ("X-Amz-Date=20261128T100000Z&X-Amz-Signature=0", -1795860000),
        ("Expires=soon", -1795860000),
    ],
)
def test_a_presigned_url_says_when_it_expires(query: str, expires: int | None) -> None:
    found = expires_at(f"https://h.test/a.mp4?{query}")
    assert found == (None if expires is None else 1795860000 + expires)
