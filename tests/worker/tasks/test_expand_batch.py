"""The task of a batch: makes each job once, whatever ends its worker in the middle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from common.access.keys import KeyRecord, Keys
from common.errors import SourceForbidden, StoreUnavailable
from common.jobs.batches import BatchSubmission, Prefix, child_id
from common.jobs.queue import RecordingDispatcher
from common.jobs.store import Accepted, Claim
from common.model import BatchRecord, Source
from common.runtime import Runtime
from tests.worker.context import keys_of, make_context, make_runtime
from worker.lease import run
from worker.tasks.expand_batch import expand


class Case:
    """A service with one worker, which expands batches."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.runtime: Runtime = make_runtime(folder, **sections)
        self.context = make_context(self.runtime)

    def submit(self, *keys: str, **fields: Any) -> str:
        sources = [Source(kind="s3", bucket="framemill", key=key) for key in keys]
        requested = BatchSubmission(**{"owner": "me", "sources": sources} | fields)
        return self.runtime.batches.submit(requested).batch.id

    def under(self, prefix: str, suffix: str = "", **fields: Any) -> str:
        return self.submit(prefix=Prefix("framemill", prefix, suffix), **fields)

    def expand(self, batch_id: str) -> None:
        run(self.context, f"{batch_id}:batch", "task", expand)

    def put(self, *keys: str) -> None:
        for key in keys:
            with self.runtime.blobs.writer(key, content_type="video/mp4") as writer:
                writer.write(b"x")
                writer.commit()

    def batch(self, batch_id: str) -> BatchRecord:
        found = self.runtime.store.batch(batch_id)
        assert found is not None
        return found

    def keys(self, batch_id: str) -> list[str]:
        """Return what the jobs were made of, oldest first."""
        jobs, _ = self.runtime.store.list(batch=batch_id, limit=200)
        return sorted(str(job.source.key) for job in jobs)

    def end(self, batch_id: str, number: int = 0) -> None:
        """End one of the open jobs."""
        job_id = self.runtime.store.children(batch_id, "accepted")[0][number]
        self.runtime.store.cancel(job_id)


@pytest.fixture
def make_case(tmp_path: Path) -> Callable[..., Case]:
    return lambda **sections: Case(tmp_path, **sections)


@pytest.fixture
def case(make_case: Callable[..., Case]) -> Case:
    return make_case()


def test_each_source_gets_a_job_of_the_template(case: Case) -> None:
    batch_id = case.submit("a.mp4", "b.mp4", metadata={"film": 1})
    case.expand(batch_id)
    jobs, _ = case.runtime.store.list(batch=batch_id)
    assert case.keys(batch_id) == ["a.mp4", "b.mp4"]
    assert {job.owner for job in jobs} == {"me"}
    assert [one.name for one in jobs[0].outputs] == ["thumbnail", "animation"]
    assert jobs[0].metadata == {"film": 1}
    assert case.batch(batch_id).closed


def test_each_job_is_sent_for(case: Case) -> None:
    batch_id = case.submit("a.mp4", "b.mp4")
    case.expand(batch_id)
    dispatcher = cast("RecordingDispatcher", case.runtime.dispatcher)
    announced = [message.task for message in dispatcher.messages]
    children = [f"{child_id(batch_id, str(n))}:prepare" for n in range(2)]
    assert announced == [f"{batch_id}:batch", *children]


def test_the_same_source_twice_gets_two_jobs(case: Case) -> None:
    batch_id = case.submit("a.mp4", "a.mp4")
    case.expand(batch_id)
    assert case.keys(batch_id) == ["a.mp4", "a.mp4"]


def test_objects_under_a_prefix_are_found_by_their_suffix(case: Case) -> None:
    case.put("films/a.mp4", "films/b.mov", "films/deep/c.mp4", "other/d.mp4")
    batch_id = case.under("films/", ".mp4")
    case.expand(batch_id)
    assert case.keys(batch_id) == ["films/a.mp4", "films/deep/c.mp4"]


def test_files_of_our_own_are_no_sources(case: Case) -> None:
    case.put(f"in/{'0' * 32}/source", f"out/{'0' * 32}/a/1/a.gif", "in/films/a.mp4")
    batch_id = case.under("")
    case.expand(batch_id)
    assert case.keys(batch_id) == ["in/films/a.mp4"]


def test_a_prefix_without_objects_completes_with_a_warning(case: Case) -> None:
    batch_id = case.under("nothing/")
    case.expand(batch_id)
    batch = case.batch(batch_id)
    assert (batch.status, batch.made) == ("completed", 0)
    assert batch.warnings == ["no object was found"]


def test_more_objects_than_a_batch_takes_are_left_out_and_said(
    make_case: Callable[..., Case],
) -> None:
    case = make_case(limits={"batch_jobs": 2})
    case.put("films/a.mp4", "films/b.mp4", "films/c.mp4")
    batch_id = case.under("films/")
    case.expand(batch_id)
    assert case.keys(batch_id) == ["films/a.mp4", "films/b.mp4"]
    assert "only the first 2" in case.batch(batch_id).warnings[0]


def test_a_bucket_that_cannot_be_listed_fails_the_batch(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise SourceForbidden("the bucket may not be listed")

    batch_id = case.under("films/")
    monkeypatch.setattr(case.runtime.blobs, "list", refuse)
    case.expand(batch_id)
    batch = case.batch(batch_id)
    assert batch.status == "failed"
    assert batch.error is not None
    assert batch.error.code == "source_forbidden"


class Killed(BaseException):
    """Stands for the end of the process."""


def break_at(case: Case, nth: int, error: BaseException, *, before: bool) -> None:
    """Have the nth making of a job end in an error, before or after it is made."""
    store = case.runtime.store
    make = store.add_child
    calls = iter(range(1, 1000))

    def breaking(*arguments: Any) -> Any:
        if next(calls) != nth:
            return make(*arguments)
        if not before:
            make(*arguments)
        raise error

    store.add_child = breaking  # type: ignore[method-assign]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("nth", [1, 3, 5])
@pytest.mark.parametrize("listed", [True, False])
def test_a_batch_that_breaks_in_the_middle_makes_each_job_once(
    case: Case, nth: int, *, before: bool, listed: bool
) -> None:
    names = [f"films/{letter}.mp4" for letter in "abcde"]
    case.put(*names)
    batch_id = case.submit(*names) if listed else case.under("films/")
    break_at(case, nth, Killed(), before=before)
    with pytest.raises(Killed):
        case.expand(batch_id)
    assert case.batch(batch_id).made == (nth - 1 if before else nth)
    case.expand(batch_id)
    assert case.keys(batch_id) == names
    assert case.batch(batch_id).counts["accepted"] == 5


@pytest.mark.parametrize("before", [True, False])
def test_an_outage_of_the_store_in_the_middle_loses_nothing(
    case: Case, *, before: bool
) -> None:
    batch_id = case.submit("a.mp4", "b.mp4", "c.mp4")
    break_at(case, 2, StoreUnavailable("away"), before=before)
    case.expand(batch_id)
    client = case.runtime.store._client
    client.hset(f"fm:piece:{batch_id}:batch", "not_before", 1)  # the delay is over
    case.expand(batch_id)
    assert case.keys(batch_id) == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_worker_that_froze_makes_nothing_beside_its_successor(case: Case) -> None:
    batch_id = case.submit("a.mp4", "b.mp4")
    store = case.runtime.store
    frozen = store.claim(f"{batch_id}:batch", "frozen", "other")
    assert isinstance(frozen, Claim)
    store.died(frozen.task, "frozen")
    case.expand(batch_id)
    batch = case.batch(batch_id)
    late = case.runtime.batches.make_job(
        frozen, batch, Source(kind="s3", bucket="framemill", key="late.mp4"), "9"
    )
    assert not isinstance(late, Accepted)
    assert case.keys(batch_id) == ["a.mp4", "b.mp4"]


def test_a_key_with_few_jobs_at_once_gets_them_one_after_the_other(case: Case) -> None:
    batch_id = case.submit("a.mp4", "b.mp4", "c.mp4", jobs_at_once=2)
    case.expand(batch_id)
    assert case.batch(batch_id).made == 2
    case.end(batch_id)
    case.expand(batch_id)
    assert case.batch(batch_id).made == 3
    assert case.batch(batch_id).closed


def a_key(case: Case) -> Keys:
    """Make the key k1, in the job store as the API does."""
    keys = keys_of(case.runtime)
    keys.create(KeyRecord(id="k1", name="test", owner="me"))
    return keys


def test_the_day_of_a_key_holds_for_the_jobs_of_a_batch(case: Case) -> None:
    a_key(case)
    batch_id = case.submit("a.mp4", "b.mp4", key_id="k1", jobs_per_day=1)
    case.expand(batch_id)
    assert case.batch(batch_id).made == 1
    task = f"{batch_id}:batch"
    assert case.runtime.store.claim(task, "t", "w").reason == "early"  # type: ignore[union-attr]


def test_a_revoked_key_ends_its_batch_and_the_error_says_so(case: Case) -> None:
    keys = a_key(case)
    batch_id = case.submit("a.mp4", "b.mp4", "c.mp4", key_id="k1", jobs_at_once=1)
    case.expand(batch_id)
    keys.revoke("k1")
    case.end(batch_id)
    case.expand(batch_id)
    batch = case.batch(batch_id)
    assert (batch.made, batch.closed, batch.status) == (1, True, "failed")
    assert batch.error is not None
    assert batch.error.code == "key_revoked"
    assert "after 1 job;" in batch.error.detail


def test_a_rotated_key_goes_on_with_its_batch(case: Case) -> None:
    keys = a_key(case)
    batch_id = case.submit("a.mp4", "b.mp4", key_id="k1", jobs_at_once=1)
    case.expand(batch_id)
    keys.rotate("k1")
    case.end(batch_id)
    case.expand(batch_id)
    assert (case.batch(batch_id).made, case.batch(batch_id).error) == (2, None)


def test_a_cancelled_batch_has_its_jobs_cancelled(case: Case) -> None:
    batch_id = case.submit("a.mp4", "b.mp4", "c.mp4", jobs_at_once=2)
    case.expand(batch_id)
    case.runtime.batches.cancel(batch_id, "me")
    case.expand(batch_id)
    batch = case.batch(batch_id)
    assert batch.status == "cancelled"
    assert (batch.counts["cancelled"], batch.made) == (2, 2)


def test_a_batch_that_is_cancelled_while_it_expands_stops_at_the_next_job(
    case: Case,
) -> None:
    batch_id = case.submit("a.mp4", "b.mp4", "c.mp4")
    store = case.runtime.store
    make = store.add_child

    def cancelling(*arguments: Any) -> Any:
        made = make(*arguments)
        if case.batch(batch_id).made == 2:
            store.cancel_batch(batch_id)
        return made

    store.add_child = cancelling  # type: ignore[method-assign]
    case.expand(batch_id)
    assert case.batch(batch_id).status == "cancelled"
    assert case.keys(batch_id) == ["a.mp4", "b.mp4"]


def test_a_deleted_batch_takes_its_jobs_along(case: Case) -> None:
    batch_id = case.submit("a.mp4", "b.mp4")
    case.expand(batch_id)
    case.runtime.batches.delete(batch_id, "me")
    case.expand(batch_id)
    assert case.runtime.store.batch(batch_id, being_deleted=True) is None
    assert case.runtime.store.list("me") == ([], None)
