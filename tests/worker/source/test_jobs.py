"""Jobs whose source stays in S3, or behind a URL: what they read, and what they say."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import structlog.testing

from common.jobs.queue import RecordingDispatcher
from common.jobs.service import Submission
from common.model import JobOptions, JobRecord, Source
from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from tests.common.storage.conftest import BUCKET, KEYS
from tests.conftest import SAMPLE
from tests.counting_proxy import CountingProxy
from tests.worker.context import make_context, make_runtime
from tests.worker.range_server import FileServer
from tests.worker.receiver import Receiver, receiving
from worker.lease import WorkerContext, run
from worker.media.ffmpeg import binary
from worker.tasks.prepare import prepare
from worker.tasks.render import render

STILL = {"kind": "thumbnail", "policy": "exact", "width": 64, "time": 5}
WORK = {"prepare": prepare, "render": render}


class Case:
    """A worker before a counted S3 and a server of one film."""

    def __init__(
        self, folder: Path, proxy: CountingProxy, files: FileServer, server: Receiver
    ) -> None:
        self.folder, self.proxy = folder, proxy
        self.files, self.server = files, server
        self.film = files.data
        self.number = 0
        self.worker: dict[str, object] = {"sparse_bytes": 0}
        self.context = self.host()

    def host(self, **worker: object) -> WorkerContext:
        """Return the worker of a new host over the same service."""
        self.number += 1
        runtime = make_runtime(
            self.folder / f"host-{self.number}",
            blobs={"backend": "s3", "bucket": BUCKET},
            s3={
                "endpoint_url": self.proxy.url,
                "access_key_id": KEYS[0],
                "secret_access_key": KEYS[1],
            },
            source={"urls": True},
            worker={
                "scratch": self.folder / f"scratch-{self.number}",
                **self.worker,
                **worker,
            },
            egress={
                "http": True,
                "ports": [self.server.port],
                "private_networks": ["127.0.0.0/8"],
            },
        )
        return make_context(runtime)

    def upload(self, key: str = "in/film/source") -> Source:
        path = self.folder / "film"
        path.write_bytes(self.film)
        self.context.runtime.blobs.put(key, path, content_type="video/mp4")
        self.proxy.clear()
        return Source(kind="upload", key=key)

    def url(self, query: str = "") -> Source:
        return Source(kind="url", url=f"{self.server.url}/film.mp4{query}")

    def made(self, source: Source, **options: Any) -> JobRecord:
        spec = OUTPUT_SPEC.validate_python(options.pop("spec", STILL))
        requested = Submission(
            owner="me", source=source, outputs=[spec], options=JobOptions(**options)
        )
        runtime = self.context.runtime
        job_id = runtime.jobs.submit(requested).job.id
        self.work()
        return runtime.jobs.get(job_id, "me")

    def work(self) -> None:
        messages = cast("RecordingDispatcher", self.context.runtime.dispatcher).messages
        while messages:
            message = messages.pop(0)
            run(self.context, message.task, "task", WORK[message.kind])

    def picture(self, job: JobRecord) -> str:
        assert job.status == "completed", job.error
        return job.outputs[0].artifacts[0].sha256


@pytest.fixture
def case(rclone_endpoint: str, tmp_path: Path, long_film: Path) -> Iterator[Case]:
    files = FileServer(long_film.read_bytes())
    with CountingProxy(rclone_endpoint) as proxy, receiving(files.answer) as server:
        yield Case(tmp_path, proxy, files, server)


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample forty times: 400 seconds, 27 MB, its index at the end."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    argv = [binary.path(Settings()), "-v", "error", "-nostdin", "-stream_loop", "39"]
    argv += ["-i", str(SAMPLE), "-c", "copy", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path


def whole(case: Case, **fields: Any) -> str:
    """Make the same picture on a host that fetches all of it."""
    sparse, case.context = case.context, case.host(sparse_bytes=10**12)
    job = case.made(case.upload("in/whole/source"), **fields)
    assert job.reading is not None
    assert job.reading.access_reason == "small"
    case.context = sparse
    return case.picture(job)


def test_a_still_reads_the_index_and_what_is_around_it(case: Case) -> None:
    wanted = whole(case, spec=STILL | {"time": 300})
    job = case.made(case.upload(), spec=STILL | {"time": 300})

    assert case.picture(job) == wanted
    reading = job.reading
    assert reading is not None
    assert (reading.access, reading.access_reason) == ("sparse", None)
    assert reading.bytes_read == case.proxy.down
    assert reading.bytes_read < len(case.film) / 6
    assert reading.requests == len(case.proxy.gets)


def test_another_job_at_the_same_time_of_the_source_reads_nothing(case: Case) -> None:
    source = case.upload()
    case.made(source)
    case.proxy.clear()

    job = case.made(source, spec=STILL | {"width": 80})

    assert case.picture(job)
    assert case.proxy.gets == []
    assert job.reading is not None
    assert (job.reading.access, job.reading.bytes_read) == ("sparse", 0)


def test_an_object_that_is_replaced_between_two_tasks_ends_the_job(case: Case) -> None:
    source = case.upload()
    runtime = case.context.runtime
    requested = Submission(
        owner="me", source=source, outputs=[OUTPUT_SPEC.validate_python(STILL)]
    )
    job_id = runtime.jobs.submit(requested).job.id
    run(case.context, f"{job_id}:prepare", "task", prepare)
    case.film = case.film[:-1]
    case.upload()
    for path in (case.folder / "scratch-1" / "cache").glob("*.*"):
        path.unlink()
    run(case.context, f"{job_id}:o:thumbnail", "task", render)
    job = runtime.jobs.get(job_id, "me")
    assert (job.error and job.error.code) == "source_changed"


@pytest.mark.parametrize("options", [{}, {"dedupe": True}])
def test_a_large_file_behind_a_url_is_read_there_and_never_stored(
    case: Case, options: dict[str, bool]
) -> None:
    wanted = whole(case)
    case.proxy.clear()
    job = case.made(case.url(), **options)

    assert case.picture(job) == wanted
    assert [one for one, _ in case.proxy.requests if one == "GET"] == []
    assert list(case.context.runtime.blobs.list(f"in/{job.id}/")) == []
    assert (job.source.kind, job.source.etag, job.source.size) == (
        "url",
        "one",
        len(case.film),
    )
    assert job.reading is not None
    assert job.reading.access == "sparse"
    assert job.reading.bytes_read < len(case.film) / 6


def test_a_repeat_over_a_url_reads_it_again_and_refuses_another_content(
    case: Case,
) -> None:
    job = case.made(case.url())
    again = case.made(job.source, spec=STILL | {"time": 150})
    assert again.status == "completed"
    case.files.etag = '"two"'
    other = case.made(job.source, spec=STILL | {"time": 200})
    assert (other.error and other.error.code) == "source_changed"
    assert case.made(case.url()).source.etag == "two"


@pytest.mark.parametrize(
    ("server", "query", "dedupe", "reason"),
    [
        ({"ranges": False}, "", False, "no_ranges"),
        ({"etag": None, "modified": None}, "", False, "no_ranges"),
        ({"etag": None}, "", True, "no_ranges"),
        ({}, "?Expires=1&Signature=s", False, "url_expires"),
    ],
)
def test_any_other_url_is_downloaded_once_and_kept(
    case: Case, server: dict[str, Any], query: str, reason: str, *, dedupe: bool
) -> None:
    vars(case.files).update(server)
    case.proxy.clear()
    job = case.made(case.url(query), dedupe=dedupe)

    assert case.picture(job)
    assert job.source.key == f"in/{job.id}/source"
    assert (job.source.sha256 is not None) == dedupe
    assert job.reading is not None
    assert (job.reading.access, job.reading.access_reason) == ("whole", reason)
    assert job.reading.bytes_read == len(case.film)
    assert case.proxy.gets == [], "what was downloaded is the local copy"


def test_dedupe_reads_no_large_upload_that_came_in_parts(case: Case) -> None:
    source = case.upload()
    first = case.made(source, dedupe=True)
    case.proxy.clear()
    second = case.made(source, dedupe=True)
    assert second.deduplicated_from == first.id
    assert case.proxy.gets == []
    assert first.source.sha256 is None


def test_dedupe_knows_a_small_upload_that_came_in_parts_by_its_content(
    case: Case,
) -> None:
    case.context = case.host(sparse_bytes=10**12)
    first = case.made(case.upload("in/one/source"), dedupe=True)
    second = case.made(case.upload("in/two/source"), dedupe=True)
    assert first.source.sha256 == second.source.sha256
    assert second.deduplicated_from == first.id


def test_a_worker_logs_what_a_task_read(case: Case) -> None:
    source = case.upload()
    with structlog.testing.capture_logs() as lines:
        case.made(source)
    settled = [line["source"] for line in lines if line["event"] == "task.settled"]
    assert [line["access"] for line in settled] == ["sparse", "sparse"]
    assert sum(line["bytes_read"] for line in settled) == case.proxy.down
