"""A source that stays behind its URL: its copy, its pin, its broken connections."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import storage as blobs
from common.errors import AddressRefused, SourceChanged, Unreachable
from common.model import Source
from common.settings.load import Settings
from tests.worker.range_server import FileServer
from tests.worker.receiver import Receiver, receiving
from worker.egress import EgressClient
from worker.source.cache import OpenSource, SourceCache

MIB = 1024 * 1024
DATA = random.Random(2).randbytes(3 * MIB + 5)


class Case:
    def __init__(self, folder: Path, files: FileServer, server: Receiver) -> None:
        self.folder, self.files, self.server = folder, files, server
        self.opened: list[OpenSource] = []
        self.source = Source(
            kind="url", url=f"{server.url}/film.mp4", etag="one", size=len(DATA)
        )

    def open(self, *, private: bool = True, intercepts: bool = True) -> OpenSource:
        egress = {"http": True, "ports": [self.server.port]}
        if private:
            egress["private_networks"] = ["127.0.0.0/8"]
        settings = Settings.model_validate(
            {
                "egress": egress,
                "blobs": {"path": self.folder / "blobs"},
                "worker": {"scratch": self.folder / "scratch", "sparse_bytes": 0},
            }
        )
        sources = SourceCache(
            settings,
            blobs.connect(settings),
            EgressClient(settings.egress),
            lambda: intercepts,
        )
        path = self.folder / f"attempt-{len(self.opened)}"
        self.opened.append(sources.open(self.source, path))
        return self.opened[-1]

    def read(self, opened: OpenSource, start: int, end: int) -> bytes:
        opened.file.ensure(start, end)
        return opened.file.path.read_bytes()[start:end]


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    files = FileServer(DATA)
    with receiving(files.answer) as server:
        made = Case(tmp_path, files, server)
        yield made
        for opened in made.opened:
            opened.close()


def test_only_what_is_read_leaves_the_server_and_once(case: Case) -> None:
    first, second = case.open(), case.open()
    assert case.read(first, 2 * MIB, 2 * MIB + 9) == DATA[2 * MIB : 2 * MIB + 9]
    assert case.read(second, 2 * MIB, 2 * MIB + 9) == DATA[2 * MIB : 2 * MIB + 9]
    assert [one.headers["range"] for one in case.server.requests] == [
        "bytes=0-131071",
        "bytes=2097152-2228223",
    ]
    assert (first.reading.access, first.reading.requests) == ("sparse", 2)


def test_a_host_that_cannot_intercept_fetches_it_whole(case: Case) -> None:
    opened = case.open(intercepts=False)
    assert opened.file.path.read_bytes() == DATA
    assert opened.reading.access_reason == "kernel"


def test_a_connection_that_ends_early_goes_on_where_it_ended(case: Case) -> None:
    opened = case.open()
    case.files.cut = 2
    end = MIB + 128 * 1024
    assert case.read(opened, MIB, end) == DATA[MIB:end]
    assert case.server.requests[-1].headers["range"] == "bytes=1179647-1179647"


def test_a_server_that_sends_nothing_is_given_up_for_now(case: Case) -> None:
    opened = case.open()
    case.files.ranges = False
    began = time.monotonic()
    with pytest.raises(Unreachable):
        opened.file.ensure(MIB, MIB + 9)
    assert time.monotonic() - began >= 1.5, "it was asked again without a pause"
    case.files.ranges = True
    assert case.read(opened, MIB, MIB + 9) == DATA[MIB : MIB + 9]


def test_a_file_that_was_replaced_is_refused(case: Case) -> None:
    opened = case.open()
    case.files.etag = '"two"'
    with pytest.raises(SourceChanged):
        opened.file.ensure(MIB, MIB + 9)


def test_the_rules_for_addresses_hold_for_each_range(case: Case) -> None:
    with pytest.raises(AddressRefused):
        case.open(private=False)
    assert case.server.touched == 0
