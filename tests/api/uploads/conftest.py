"""The worlds that upload tests run in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from common.jobs.store import JobStore
from common.settings.load import Settings
from common.storage import connect
from common.uploads import Uploads
from tests.api.uploads.context import KEYS, Context, Server, rclone
from tests.common import valkey

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey.running(tmp_path_factory.mktemp("valkey")) as (url, _):
        yield url


@pytest.fixture(scope="session")
def storages(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "framemill").mkdir()
    with rclone(folder, KEYS) as endpoint:
        yield {
            "local": {"FRAMEMILL_BLOBS_PATH": str(tmp_path_factory.mktemp("blobs"))},
            "rclone": {
                "FRAMEMILL_BLOBS_BACKEND": "s3",
                "FRAMEMILL_S3_ENDPOINT_URL": endpoint,
                "FRAMEMILL_S3_ACCESS_KEY_ID": KEYS[0],
                "FRAMEMILL_S3_SECRET_ACCESS_KEY": KEYS[1],
            },
        }


@pytest.fixture(scope="session", params=["local", "rclone"])
def context(
    request: pytest.FixtureRequest,
    redis_url: str,
    storages: dict[str, dict[str, str]],
) -> Iterator[Context]:
    environ = {
        **storages[request.param],
        "FRAMEMILL_STORE_URL": redis_url,
        "FRAMEMILL_STORE_PREFIX": f"w{next(_NUMBERS)}:",
        "FRAMEMILL_API_SECRET": "ways-in-secret-" * 3,
        "FRAMEMILL_API_AUTH": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        settings = Settings.load()
    blobs = connect(settings)
    uploads = Uploads.connect(settings, blobs)
    server = Server(environ)
    server.begin()
    yield Context(server, settings, blobs, JobStore.connect(settings), uploads)
    server.end()
