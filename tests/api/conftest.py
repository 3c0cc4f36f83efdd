"""The app over a real job store, local blobs and a dispatcher that only remembers."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from common import storage as blobs
from common.jobs.queue import RecordingDispatcher
from common.jobs.store import Claim, JobStore, Opening
from common.model import Artifact, MediaInfo
from common.runtime import Runtime
from common.settings.load import Settings
from tests.api.context import WEBHOOK_SECRET
from tests.common import valkey

_PREFIXES = (f"api{number}:" for number in itertools.count(1))
OBJECT = {"s3": {"bucket": "framemill", "key": "films/clip.mp4"}}


@dataclass
class Context:
    """The service without workers; ``make`` does a worker's part."""

    runtime: Runtime
    client: FlaskClient
    dispatcher: RecordingDispatcher
    folder: Path

    def submit(self, **body: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/jobs", json={"source": OBJECT, **body})
        assert answer.status_code == 202, answer.json
        job: dict[str, Any] = answer.json
        return job

    def stored(self) -> list[str]:
        return sorted(info.key for info in self.runtime.blobs.list("in/"))

    def claim(self, task: str) -> Claim:
        claim = self.runtime.store.claim(task, "t" * 32, "worker")
        assert isinstance(claim, Claim)
        return claim

    def make(self, job_id: str, only: Sequence[str] = (), **more: Any) -> None:
        """Finish a job, or ``only`` some outputs: each with one stored artifact."""
        store = self.runtime.store
        record = store.get(job_id)
        assert record is not None
        media = MediaInfo(container="mp4", duration=4.0)
        names = {output.name: Opening() for output in record.outputs}
        prepare = self.claim(f"{job_id}:prepare")
        assert store.open(prepare, media, record.source, names).applied
        for output in record.outputs:
            if only and output.name not in only:
                continue
            claim = self.claim(f"{job_id}:o:{output.name}")
            artifact = Artifact(
                name=f"{output.name}.bin",
                key=f"out/{job_id}/{output.name}/{claim.fence}/{output.name}.bin",
                content_type="image/gif",
                bytes=3,
                sha256="0" * 64,
                **more,
            )
            with self.runtime.blobs.writer(
                artifact.key, content_type=artifact.content_type
            ) as writer:
                writer.write(b"GIF")
                writer.commit()
            assert store.finish(claim, [artifact]).applied


def post_form(
    context: Context, parts: dict[str, Any], headers: dict[str, str] | None = None
) -> TestResponse:
    return context.client.post("/v1/jobs", data=parts, headers=headers or {})


def a_file(content: bytes = b"bytes", name: str = "clip.mp4") -> Any:
    return io.BytesIO(content), name


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey.running(tmp_path_factory.mktemp("valkey")) as (url, _):
        yield url


@pytest.fixture
def make_context(redis_url: str, tmp_path: Path) -> Callable[..., Context]:
    """Make worlds; keywords are sections of the settings."""

    def make(**sections: Any) -> Context:
        api = {"auth": False, "secret": "s" * 40, **sections.pop("api", {})}
        store = {
            "url": redis_url,
            "prefix": next(_PREFIXES),
            **sections.pop("store", {}),
        }
        sections = {"webhooks": {"secret": WEBHOOK_SECRET}, **sections}
        files = {"path": tmp_path / "blobs", **sections.pop("blobs", {})}
        settings = Settings(api=api, store=store, blobs=files, **sections)
        dispatcher = RecordingDispatcher()
        runtime = Runtime(
            settings, JobStore.connect(settings), blobs.connect(settings), dispatcher
        )
        return Context(runtime, create_app(runtime).test_client(), dispatcher, tmp_path)

    return make


@pytest.fixture
def context(make_context: Callable[..., Context]) -> Context:
    return make_context()
