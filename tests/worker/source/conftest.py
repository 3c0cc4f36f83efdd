"""Sources in a real S3, behind a proxy that counts what is read of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common import storage as blobs
from common.model import Source
from common.settings.load import Settings
from common.storage.port import BlobStore
from tests.common.storage.conftest import (
    moto_endpoint,
    rclone_endpoint,
    s3_settings,
)
from tests.counting_proxy import CountingProxy
from worker.egress import EgressClient
from worker.source.cache import OpenSource, SourceCache

__all__ = ["moto_endpoint", "rclone_endpoint"]

MIB = 1024 * 1024
DATA = random.Random(1).randbytes(9 * MIB + 4321)


class Case:
    """A worker's host with its cache before a counted S3 that holds ``DATA``."""

    def __init__(self, proxy: CountingProxy, folder: Path) -> None:
        self.proxy = proxy
        self.folder = folder
        self.opened: list[OpenSource] = []
        self.settings = self.settings_with()
        self.store: BlobStore = blobs.connect(self.settings)
        self.source = self.put("in/film/source", DATA)
        proxy.clear()

    def settings_with(self, **worker: object) -> Settings:
        given = {"scratch": self.folder / "scratch", "sparse_bytes": 0} | worker
        worker_section = Settings.model_validate({"worker": given}).worker
        return s3_settings(self.proxy.url).model_copy(update={"worker": worker_section})

    def put(self, key: str, data: bytes) -> Source:
        path = self.folder / "new"
        path.write_bytes(data)
        self.store.put(key, path, content_type="video/mp4")
        return self.cache().pin(Source(kind="upload", key=key))

    def cache(self, *, intercepts: bool = True, **worker: object) -> SourceCache:
        """Return a new cache over the same folder, as another process has it."""
        settings = self.settings_with(**worker)
        egress = EgressClient(settings.egress)
        return SourceCache(settings, self.store, egress, lambda: intercepts)

    def forked(self) -> SourceCache:
        """Return the cache of a forked process: no connection crosses a fork."""
        self.store = blobs.connect(self.settings)
        return self.cache()

    def open(
        self,
        cache: SourceCache | None = None,
        source: Source | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> OpenSource:
        path = self.folder / f"attempt-{len(self.opened)}"
        opened = (cache or self.cache()).open(source or self.source, path, should_stop)
        self.opened.append(opened)
        return opened

    def kept(self, suffix: str = ".data") -> list[Path]:
        return sorted((self.folder / "scratch" / "cache").glob("*" + suffix))


def read(opened: OpenSource, start: int, end: int) -> bytes:
    """Read a range as a program does that is made to wait for it."""
    opened.file.ensure(start, end)
    with opened.file.path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


@pytest.fixture
def store_name() -> str:
    """Name the storage of ``case``: rclone, or moto, which checks no signatures."""
    return "rclone"


@pytest.fixture
def case(
    store_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Case]:
    endpoint = request.getfixturevalue(f"{store_name}_endpoint")
    with CountingProxy(endpoint) as proxy:
        made = Case(proxy, tmp_path)
        yield made
        for opened in made.opened:
            opened.close()
