"""Content dedupe: copies instead of work, and no job that needs another's files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import pytest

from common.jobs.queue import RecordingDispatcher
from common.jobs.service import Submission
from common.jobs.store import Claim
from common.model import JobOptions, JobRecord, Source
from common.outputs.specs import OUTPUT_SPEC
from common.runtime import Runtime
from tests.worker.context import make_context, make_runtime
from worker.lease import run
from worker.media.ffmpeg import binary
from worker.tasks.prepare import prepare
from worker.tasks.publish import publish
from worker.tasks.render import render

THUMBNAIL = {"kind": "thumbnail", "policy": "keyframe", "width": 64}
WORK = {"prepare": prepare, "render": render, "publish": publish}


class Case:
    """A service with one worker; ``work`` does what the messages ask for."""

    def __init__(self, folder: Path, sample: Path) -> None:
        self.runtime: Runtime = make_runtime(folder)
        self.context = make_context(self.runtime)
        self.clip = sample
        self.sha256 = hashlib.sha256(sample.read_bytes()).hexdigest()
        self.uploads = 0

    @property
    def messages(self) -> list[Any]:
        return cast("RecordingDispatcher", self.runtime.dispatcher).messages

    def upload(self) -> Source:
        self.uploads += 1
        key = f"in/{self.uploads:032x}/source"
        info = self.runtime.blobs.put(key, self.clip, content_type="video/mp4")
        return Source(kind="upload", key=key, sha256=self.sha256, etag=info.etag)

    def submit(self, source: Source | None = None, **fields: Any) -> str:
        spec = fields.pop("spec", THUMBNAIL)
        options = {"dedupe": True} | fields.pop("options", {})
        requested = Submission(
            owner=fields.pop("owner", "me"),
            source=source or self.upload(),
            outputs=[OUTPUT_SPEC.validate_python(spec)],
            options=JobOptions(**options),
            **fields,
        )
        return self.runtime.jobs.submit(requested).job.id

    def work(self) -> list[str]:
        """Run the announced tasks until none is left; return their ids."""
        done = []
        while self.messages:
            message = self.messages.pop(0)
            run(self.context, message.task, "task", WORK[message.kind])
            done.append(message.task)
        return done

    def made(self, **fields: Any) -> str:
        job_id = self.submit(**fields)
        self.work()
        return job_id

    def job(self, job_id: str) -> JobRecord:
        return self.runtime.jobs.get(job_id, None)

    def files(self, job_id: str) -> list[bytes]:
        return [
            b"".join(self.runtime.blobs.read(artifact.key))
            for output in self.job(job_id).outputs
            for artifact in output.artifacts
        ]


@pytest.fixture
def case(tmp_path: Path, sample: Path) -> Case:
    return Case(tmp_path, sample)


def test_the_same_bytes_and_specs_give_copies_without_rendering(case: Case) -> None:
    first = case.made()
    second = case.submit()
    assert case.work() == [f"{second}:prepare"]
    job = case.job(second)
    assert (job.status, job.deduplicated_from) == ("completed", first)
    assert job.media == case.job(first).media
    assert case.files(second) == case.files(first)
    (artifact,) = job.outputs[0].artifacts
    assert artifact.key.startswith(f"out/{second}/thumbnail/")


def test_its_history_tells_where_the_results_came_from(case: Case) -> None:
    first = case.made()
    second = case.made()
    events = case.runtime.store.events(second)
    told = {event.type: event.data for event in events}
    assert told["job.deduplicated"] == {"from": first}
    assert [event.type for event in events][-2:] == [
        "output.succeeded",
        "job.completed",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"owner": "you"},
        {"spec": THUMBNAIL | {"width": 80}},
        {"spec": THUMBNAIL | {"name": "poster"}},
        {"options": {"dedupe": False}},
    ],
    ids=["owner", "width", "name", "not asked"],
)
def test_what_differs_is_made_anew(case: Case, fields: dict[str, Any]) -> None:
    case.made()
    second = case.made(**fields)
    assert case.job(second).status == "completed"
    assert case.job(second).deduplicated_from is None


def test_a_newer_engine_makes_its_own(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.made()
    monkeypatch.setattr(binary, "edition", lambda _: "newer")
    assert case.job(case.made()).deduplicated_from is None


def test_an_object_is_known_by_its_pin(case: Case) -> None:
    def put(data: Path) -> Source:
        case.runtime.blobs.put("films/a.mp4", data, content_type="video/mp4")
        return Source(kind="s3", bucket="framemill", key="films/a.mp4")

    first = case.made(source=put(case.clip))
    same = case.made(source=Source(kind="s3", bucket="framemill", key="films/a.mp4"))
    other = case.made(source=put(case.clip))
    assert case.job(same).deduplicated_from == first
    assert case.job(other).deduplicated_from is None


@pytest.mark.parametrize("number", [0, 1])
def test_a_job_outlives_its_duplicate_and_the_other_way_round(
    case: Case, number: int
) -> None:
    jobs = [case.made(), case.made()]
    before = case.files(jobs[1 - number])
    case.runtime.jobs.delete(jobs[number], None)
    assert case.files(jobs[1 - number]) == before


def test_a_deleted_duplicate_gives_nothing(case: Case) -> None:
    case.runtime.jobs.delete(case.made(), None)
    second = case.made()
    assert case.job(second).status == "completed"
    assert case.job(second).deduplicated_from is None


def test_a_duplicate_whose_files_are_gone_is_replaced(case: Case) -> None:
    case.runtime.blobs.delete_prefix(f"out/{case.made()}/")
    second = case.made()
    third = case.made()
    assert case.job(second).deduplicated_from is None
    assert case.job(third).deduplicated_from == second


def test_the_youngest_copy_serves_the_next(case: Case) -> None:
    first, second = case.made(), case.made()
    case.runtime.jobs.delete(first, None)
    assert case.job(case.made()).deduplicated_from == second


def half_made(case: Case) -> tuple[str, str, Any]:
    """Return a running job, its waiting duplicate, and the message to go on with."""
    first = case.submit()
    run(case.context, case.messages.pop().task, "task", prepare)
    message = case.messages.pop()
    second = case.submit()
    assert case.work() == [f"{second}:prepare"]
    assert case.job(second).status == "processing"
    return first, second, message


def test_a_job_whose_duplicate_is_at_work_waits_for_its_results(case: Case) -> None:
    first, second, message = half_made(case)
    run(case.context, message.task, "task", render)
    assert case.work() == [f"{second}:prepare"]
    assert case.job(second).deduplicated_from == first


@pytest.mark.parametrize("verb", ["cancel", "delete"])
def test_a_job_whose_duplicate_ends_without_results_makes_them(
    case: Case, verb: str
) -> None:
    first, second, _ = half_made(case)
    getattr(case.runtime.jobs, verb)(first, None)
    case.work()
    assert case.job(second).status == "completed"
    assert case.job(second).deduplicated_from is None


def test_the_limits_of_its_own_key_hold(case: Case) -> None:
    case.made()
    second = case.made(options={"max_seconds": 1})
    job = case.job(second)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.code == "too_long"


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_worker_that_dies_while_it_copies_is_followed_by_another(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = case.made()
    second = case.submit()
    message = case.messages.pop()

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(case.runtime.blobs, "copy", die)
        with pytest.raises(Killed):
            run(case.context, message.task, "task", prepare)
    case.work()
    run(case.context, message.task, "task", prepare)
    assert case.job(second).deduplicated_from == first
    assert case.files(second) == case.files(first)


def test_who_lost_the_claim_while_copying_publishes_nothing(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.made()
    second = case.submit()
    task = case.messages.pop().task
    store = case.runtime.store
    copy_from_duplicate = store.copy_from_duplicate

    def late(claim: Claim, *rest: Any) -> Any:
        store.died(task, claim.token)
        assert isinstance(store.claim(task, "other", "other"), Claim)
        return copy_from_duplicate(claim, *rest)

    monkeypatch.setattr(store, "copy_from_duplicate", late)
    run(case.context, task, "task", prepare)
    job = case.job(second)
    assert (job.status, job.deduplicated_from) == ("processing", None)


def test_given_an_upload_without_a_hash_then_its_bytes_are_known_all_the_same(
    case: Case,
) -> None:
    def resumed() -> Source:
        # As tus and direct uploads leave it.
        return case.upload().model_copy(update={"sha256": None})

    first = case.made(source=resumed())
    second = case.made(source=resumed())

    job = case.runtime.store.get(second)
    assert job is not None
    assert job.deduplicated_from == first
    assert job.source.sha256 == case.sha256
