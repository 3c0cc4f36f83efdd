"""A source by URL: whose its bytes are in our storage, whatever becomes of the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.jobs.service import Submission
from common.jobs.store import Outcome
from common.model import JobRecord, Source
from common.uploads import Uploads
from tests.worker.receiver import Receiver, Reply, receiving
from tests.worker.world import make_runtime
from worker.lease import Attempt, Work, Workshop, run
from worker.maintenance.janitor import Janitor
from worker.media.engine import Engine
from worker.source.whole import Sources
from worker.tasks.prepare import prepare


class Shop:
    """A worker that may fetch from one receiver on loopback."""

    def __init__(self, folder: Path, server: Receiver) -> None:
        self.runtime = make_runtime(
            folder,
            worker={"scratch": folder / "scratch"},
            source={"urls": True},
            lease={"beat_seconds": 0.2, "seconds": 60},
            egress={
                "http": True,
                "ports": [server.port],
                "private_networks": ["127.0.0.0/8"],
            },
        )
        settings, blobs = self.runtime.settings, self.runtime.blobs
        sources = Sources(settings, blobs)
        self.workshop = Workshop(self.runtime, Engine(settings), sources, "worker")
        self.url = f"{server.url}/clip.mp4"

    def prepare(self, work: Work = prepare, **options: Any) -> JobRecord:
        source = Source(kind="url", url=self.url)
        asked = Submission(owner="me", source=source, options=options)
        job_id = self.runtime.intake.submit(asked).job.id
        run(self.workshop, f"{job_id}:prepare", "task", work)
        return self.runtime.intake.get(job_id, "me")

    def sweep(self) -> list[str]:
        """Do all that will ever be due; give what is left of sources."""
        store, blobs = self.runtime.store, self.runtime.blobs
        chores = f"{store._prefix}chores"
        for member in store._client.zrange(chores, 0, -1):
            if member.startswith("blob:"):
                store._client.zadd(chores, {member: 1})
        uploads = Uploads(self.runtime.settings, store._client, blobs)
        Janitor(store, blobs, uploads, 24).clean()
        return [blob.key for blob in blobs.list("in/")]


@pytest.fixture
def make_shop(tmp_path: Path) -> Iterator[Callable[[bytes], Shop]]:
    body = b""
    with receiving(lambda _request: Reply(body=body)) as server:

        def make(served: bytes) -> Shop:
            nonlocal body
            body = served
            return Shop(tmp_path, server)

        yield make


def test_given_bytes_that_are_no_video_then_the_sweep_takes_them(
    make_shop: Callable[[bytes], Shop],
) -> None:
    shop = make_shop(b"no video")
    job = shop.prepare()
    assert (job.status, job.error and job.error.code) == (
        "failed",
        "unsupported_format",
    )
    assert shop.sweep() == []


def test_given_a_video_then_the_sweep_leaves_it_to_its_job(
    make_shop: Callable[[bytes], Shop], sample: Path
) -> None:
    shop = make_shop(sample.read_bytes())
    job = shop.prepare()
    assert job.media is not None
    assert shop.sweep() == [f"in/{job.id}/source"]


def test_given_more_than_the_api_key_allows_then_it_is_not_even_stored(
    make_shop: Callable[[bytes], Shop],
) -> None:
    shop = make_shop(b"x" * 100)
    job = shop.prepare(max_bytes=99)
    assert job.error is not None
    assert (job.error.code, "the limit is 99" in job.error.detail) == (
        "too_large",
        True,
    )
    assert list(shop.runtime.blobs.list("in/")) == []


def test_given_a_claim_that_was_lost_then_the_late_worker_stores_nothing(
    make_shop: Callable[[bytes], Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make_shop(b"no video")
    store = shop.runtime.store
    reserve = store.reserve_blob
    attempts: list[Attempt] = []

    def work(attempt: Attempt) -> Outcome:
        attempts.append(attempt)
        return prepare(attempt)

    def cancel(key: str, seconds: float) -> None:
        reserve(key, seconds)
        store.cancel(attempts[0].claim.job_id)
        attempts[0]._heart.join(60)  # it ends when it hears that the claim is off

    monkeypatch.setattr(store, "reserve_blob", cancel)
    assert shop.prepare(work).status == "cancelled"
    assert list(shop.runtime.blobs.list("in/")) == []
