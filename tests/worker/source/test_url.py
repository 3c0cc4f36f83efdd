"""A source by URL: whose its bytes are in our storage, whatever becomes of the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.jobs.service import Submission
from common.jobs.store import Outcome
from common.model import JobOptions, JobRecord, Source
from common.uploads import Uploads
from tests.worker.context import make_context, make_runtime
from tests.worker.receiver import Receiver, Reply, receiving
from worker.lease import Attempt, Work, run
from worker.maintenance.janitor import Janitor
from worker.tasks.prepare import prepare


class Case:
    """A worker that may fetch from one receiver on loopback."""

    def __init__(self, folder: Path, server: Receiver) -> None:
        self.runtime = make_runtime(
            folder,
            source={"urls": True},
            lease={"beat_seconds": 0.2, "seconds": 60},
            egress={
                "http": True,
                "ports": [server.port],
                "private_networks": ["127.0.0.0/8"],
            },
        )
        self.context = make_context(self.runtime)
        self.url = f"{server.url}/clip.mp4"

    def prepare(self, work: Work = prepare, **options: Any) -> JobRecord:
        source = Source(kind="url", url=self.url)
        requested = Submission(owner="me", source=source, options=JobOptions(**options))
        job_id = self.runtime.jobs.submit(requested).job.id
        run(self.context, f"{job_id}:prepare", "task", work)
        return self.runtime.jobs.get(job_id, "me")

    def sweep(self) -> list[str]:
        """Do all that will ever be due; return what is left of sources."""
        store, blobs = self.runtime.store, self.runtime.blobs
        cleanups = f"{store._prefix}chores"
        for member in store._client.zrange(cleanups, 0, -1):
            if member.startswith("blob:"):
                store._client.zadd(cleanups, {member: 1})
        uploads = Uploads(self.runtime.settings, store._client, blobs)
        Janitor(store, blobs, uploads, 24).clean()
        return [blob.key for blob in blobs.list("in/")]


@pytest.fixture
def make_case(tmp_path: Path) -> Iterator[Callable[[bytes], Case]]:
    body = b""
    with receiving(lambda _request: Reply(body=body)) as server:

        def make(served: bytes) -> Case:
            nonlocal body
            body = served
            return Case(tmp_path, server)

        yield make


def test_given_bytes_that_are_no_video_then_the_sweep_takes_them(
    make_case: Callable[[bytes], Case],
) -> None:
    case = make_case(b"no video")
    job = case.prepare()
    assert (job.status, job.error and job.error.code) == (
        "failed",
        "unsupported_format",
    )
    assert case.sweep() == []


def test_given_a_video_then_the_sweep_leaves_it_to_its_job(
    make_case: Callable[[bytes], Case], sample: Path
) -> None:
    case = make_case(sample.read_bytes())
    job = case.prepare()
    assert job.media is not None
    assert case.sweep() == [f"in/{job.id}/source"]


def test_given_more_than_the_api_key_allows_then_it_is_not_even_stored(
    make_case: Callable[[bytes], Case],
) -> None:
    case = make_case(b"x" * 100)
    job = case.prepare(max_bytes=99)
    assert job.error is not None
    assert (job.error.code, "the limit is 99" in job.error.detail) == (
        "too_large",
        True,
    )
    assert list(case.runtime.blobs.list("in/")) == []


def test_given_a_claim_that_was_lost_then_the_late_worker_stores_nothing(
    make_case: Callable[[bytes], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(b"no video")
    store = case.runtime.store
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
    assert case.prepare(work).status == "cancelled"
    assert list(case.runtime.blobs.list("in/")) == []
