"""Content dedupe: copies instead of work, and no job that needs another's files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import pytest

from common.jobs.queue import RecordingDispatcher
from common.jobs.service import Submission
from common.jobs.store import Claim
from common.model import JobRecord, Source
from common.outputs.specs import OUTPUT_SPEC
from common.runtime import Runtime
from tests.worker.world import make_runtime
from worker.lease import Workshop, run
from worker.media.engine import Engine
from worker.media.ffmpeg import binary as program
from worker.source.whole import Sources
from worker.tasks.prepare import prepare
from worker.tasks.publish import publish
from worker.tasks.render import render

THUMBNAIL = {"kind": "thumbnail", "policy": "keyframe", "width": 64}
WORK = {"prepare": prepare, "render": render, "publish": publish}


class Shop:
    """A world with one worker; ``work`` does what the bells ask for."""

    def __init__(self, folder: Path, sample: Path) -> None:
        self.runtime: Runtime = make_runtime(
            folder, worker={"scratch": folder / "scratch"}
        )
        settings = self.runtime.settings
        self.workshop = Workshop(
            self.runtime,
            Engine(settings),
            Sources(settings, self.runtime.blobs),
            "worker",
        )
        self.clip = sample
        self.sha256 = hashlib.sha256(sample.read_bytes()).hexdigest()
        self.uploads = 0

    @property
    def bells(self) -> list[Any]:
        return cast("RecordingDispatcher", self.runtime.dispatcher).bells

    def upload(self) -> Source:
        self.uploads += 1
        key = f"in/{self.uploads:032x}/source"
        info = self.runtime.blobs.put(key, self.clip, content_type="video/mp4")
        return Source(kind="upload", key=key, sha256=self.sha256, etag=info.etag)

    def submit(self, source: Source | None = None, **fields: Any) -> str:
        spec = fields.pop("spec", THUMBNAIL)
        options = {"dedupe": True} | fields.pop("options", {})
        asked = Submission(
            owner=fields.pop("owner", "me"),
            source=source or self.upload(),
            outputs=[OUTPUT_SPEC.validate_python(spec)],
            options=options,
            **fields,
        )
        return self.runtime.intake.submit(asked).job.id

    def work(self) -> list[str]:
        """Answer the bells until there are none; gives the pieces that rang."""
        done = []
        while self.bells:
            bell = self.bells.pop(0)
            run(self.workshop, bell.piece, "task", WORK[bell.kind])
            done.append(bell.piece)
        return done

    def made(self, **fields: Any) -> str:
        job_id = self.submit(**fields)
        self.work()
        return job_id

    def job(self, job_id: str) -> JobRecord:
        return self.runtime.intake.get(job_id, None)

    def files(self, job_id: str) -> list[bytes]:
        return [
            b"".join(self.runtime.blobs.read(artifact.key))
            for output in self.job(job_id).outputs
            for artifact in output.artifacts
        ]


@pytest.fixture
def shop(tmp_path: Path, sample: Path) -> Shop:
    return Shop(tmp_path, sample)


def test_the_same_bytes_and_specs_give_copies_without_rendering(shop: Shop) -> None:
    first = shop.made()
    second = shop.submit()
    assert shop.work() == [f"{second}:prepare"]
    job = shop.job(second)
    assert (job.status, job.deduplicated_from) == ("completed", first)
    assert job.media == shop.job(first).media
    assert shop.files(second) == shop.files(first)
    (artifact,) = job.outputs[0].artifacts
    assert artifact.key.startswith(f"out/{second}/thumbnail/")


def test_its_history_tells_where_the_results_came_from(shop: Shop) -> None:
    first = shop.made()
    second = shop.made()
    events = shop.runtime.store.events(second)
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
def test_what_differs_is_made_anew(shop: Shop, fields: dict[str, Any]) -> None:
    shop.made()
    second = shop.made(**fields)
    assert shop.job(second).status == "completed"
    assert shop.job(second).deduplicated_from is None


def test_a_newer_engine_makes_its_own(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.made()
    monkeypatch.setattr(program, "edition", lambda _: "newer")
    assert shop.job(shop.made()).deduplicated_from is None


def test_an_object_is_known_by_its_pin(shop: Shop) -> None:
    def put(data: Path) -> Source:
        shop.runtime.blobs.put("films/a.mp4", data, content_type="video/mp4")
        return Source(kind="s3", bucket="framemill", key="films/a.mp4")

    first = shop.made(source=put(shop.clip))
    same = shop.made(source=Source(kind="s3", bucket="framemill", key="films/a.mp4"))
    other = shop.made(source=put(shop.clip))
    assert shop.job(same).deduplicated_from == first
    assert shop.job(other).deduplicated_from is None


@pytest.mark.parametrize("number", [0, 1])
def test_a_job_outlives_its_twin_and_the_other_way_round(
    shop: Shop, number: int
) -> None:
    jobs = [shop.made(), shop.made()]
    before = shop.files(jobs[1 - number])
    shop.runtime.intake.delete(jobs[number], None)
    assert shop.files(jobs[1 - number]) == before


def test_a_deleted_twin_gives_nothing(shop: Shop) -> None:
    shop.runtime.intake.delete(shop.made(), None)
    second = shop.made()
    assert shop.job(second).status == "completed"
    assert shop.job(second).deduplicated_from is None


def test_a_twin_whose_files_are_gone_is_replaced(shop: Shop) -> None:
    shop.runtime.blobs.delete_prefix(f"out/{shop.made()}/")
    second = shop.made()
    third = shop.made()
    assert shop.job(second).deduplicated_from is None
    assert shop.job(third).deduplicated_from == second


def test_the_youngest_copy_serves_the_next(shop: Shop) -> None:
    first, second = shop.made(), shop.made()
    shop.runtime.intake.delete(first, None)
    assert shop.job(shop.made()).deduplicated_from == second


def half_made(shop: Shop) -> tuple[str, str, Any]:
    """Give a job that is at work, its twin that waits, and the bell to go on with."""
    first = shop.submit()
    run(shop.workshop, shop.bells.pop().piece, "task", prepare)
    bell = shop.bells.pop()
    second = shop.submit()
    assert shop.work() == [f"{second}:prepare"]
    assert shop.job(second).status == "processing"
    return first, second, bell


def test_a_job_whose_twin_is_at_work_waits_for_its_results(shop: Shop) -> None:
    first, second, bell = half_made(shop)
    run(shop.workshop, bell.piece, "task", render)
    assert shop.work() == [f"{second}:prepare"]
    assert shop.job(second).deduplicated_from == first


@pytest.mark.parametrize("verb", ["cancel", "delete"])
def test_a_job_whose_twin_ends_without_results_makes_them(
    shop: Shop, verb: str
) -> None:
    first, second, _ = half_made(shop)
    getattr(shop.runtime.intake, verb)(first, None)
    shop.work()
    assert shop.job(second).status == "completed"
    assert shop.job(second).deduplicated_from is None


def test_the_limits_of_its_own_key_hold(shop: Shop) -> None:
    shop.made()
    second = shop.made(options={"max_seconds": 1})
    job = shop.job(second)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.code == "too_long"


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_worker_that_dies_while_it_copies_is_followed_by_another(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shop.made()
    second = shop.submit()
    bell = shop.bells.pop()

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shop.runtime.blobs, "copy", die)
        with pytest.raises(Killed):
            run(shop.workshop, bell.piece, "task", prepare)
    shop.work()
    run(shop.workshop, bell.piece, "task", prepare)
    assert shop.job(second).deduplicated_from == first
    assert shop.files(second) == shop.files(first)


def test_who_lost_the_claim_while_copying_publishes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.made()
    second = shop.submit()
    piece = shop.bells.pop().piece
    store = shop.runtime.store
    adopt = store.adopt

    def late(claim: Claim, *rest: Any) -> Any:
        store.died(piece, claim.token)
        assert isinstance(store.claim(piece, "other", "other"), Claim)
        return adopt(claim, *rest)

    monkeypatch.setattr(store, "adopt", late)
    run(shop.workshop, piece, "task", prepare)
    job = shop.job(second)
    assert (job.status, job.deduplicated_from) == ("processing", None)


def test_given_an_upload_without_a_hash_then_its_bytes_are_known_all_the_same(
    shop: Shop,
) -> None:
    def resumed() -> Source:
        # As tus and direct uploads leave it.
        return shop.upload().model_copy(update={"sha256": None})

    first = shop.made(source=resumed())
    second = shop.made(source=resumed())

    job = shop.runtime.store.get(second)
    assert job is not None
    assert job.deduplicated_from == first
    assert job.source.sha256 == shop.sha256
