"""Jobs by the words of their names: whose, which, in what order, at what cost."""

from __future__ import annotations

import time

import pytest

from common.errors import Invalid
from common.jobs.store import Caps, NewBatch
from common.model import Source
from tests.common.jobs.store.context import StoreContext


def named(context: StoreContext, *names: str | None, owner: str = "me") -> list[str]:
    """Accept a job of each name, oldest first; returns their ids."""
    return [
        context.accept(owner=owner, source=Source(kind="upload", key="in/x", name=name))
        for name in names
    ]


def found(context: StoreContext, text: str, owner: str = "me") -> list[str]:
    jobs, following = context.store.search(owner, text)
    assert following is None
    return [job.id for job in jobs]


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("summer", [0, 1]),
        ("SUMMER", [0, 1]),
        ("mer ho", [0]),
        ("holiday summer", [0]),
        ("summer winter", []),
        ("straße", [2]),
        ("STRASSE", [2]),
        ("caf\u00e9", [3]),
        ("%", []),
        (".mp4", [0, 1]),
        ("[", [4]),
    ],
)
def test_every_word_must_be_in_the_name(
    store_context: StoreContext, text: str, hits: list[int]
) -> None:
    ids = named(
        store_context,
        "Summer Holiday.mp4",
        "summer.mp4",
        "Straße.mov",
        "cafe\u0301.mkv",
        "a[b].avi",
        None,
    )
    assert found(store_context, text) == [ids[hit] for hit in reversed(hits)]


def test_an_id_finds_its_job(store_context: StoreContext) -> None:
    first, second = named(store_context, None, "b")
    assert found(store_context, first) == [first]
    assert found(store_context, second[-8:].upper()) == [second]


def test_an_object_is_found_by_its_whole_key(store_context: StoreContext) -> None:
    source = Source(kind="s3", bucket="b", key="films/2026/clip.mp4", name="clip.mp4")
    job_id = store_context.accept(owner="me", source=source)
    assert found(store_context, "films/2026") == [job_id]


def test_nobody_finds_the_jobs_of_others(store_context: StoreContext) -> None:
    named(store_context, "clip", owner="ben")
    assert found(store_context, "clip") == []


def test_a_status_and_pages_narrow_a_search(store_context: StoreContext) -> None:
    ids = named(store_context, *[f"clip {n}" for n in range(5)], "other")
    store_context.store.cancel(ids[1])
    store_context.store.cancel(ids[3])
    search = store_context.store.search
    cancelled, _ = search("me", "clip", status="cancelled")
    assert [job.id for job in cancelled] == [ids[3], ids[1]]
    pages, cursor = [], None
    while True:
        jobs, cursor = search("me", "clip", limit=2, cursor=cursor)
        pages.append([job.id for job in jobs])
        if cursor is None:
            break
    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    with pytest.raises(Invalid, match="cursor"):
        search("me", "clip", cursor="!")


def test_a_batch_narrows_a_search(store_context: StoreContext) -> None:
    named(store_context, "clip")
    store = store_context.store
    new = NewBatch("b" * 32, "me", [Source(kind="url")], None, {})
    store.accept_batch(new)
    claim = store_context.claim(f"{new.id}:batch")
    source = Source(kind="upload", key="in/y", name="clip")
    job = store_context.new_job(owner="me", source=source)
    store.add_child(claim, job, "0", Caps())
    jobs, _ = store.search("me", "clip", batch=new.id)
    assert [one.id for one in jobs] == [job.id]


def test_a_deleted_job_leaves_the_index(store_context: StoreContext) -> None:
    kept, gone = named(store_context, "kept clip", "clip that goes")
    store_context.store.delete(gone)
    index = store_context.client.hgetall(store_context.key("names:me"))
    assert index == {kept: "kept clip"}


def test_a_long_name_is_cut(store_context: StoreContext) -> None:
    (job_id,) = named(store_context, "x" * 500)
    name = store_context.client.hget(store_context.key("names:me"), job_id)
    assert name == "x" * 200


@pytest.fixture
def many(store_context: StoreContext) -> StoreContext:
    """Write what accept writes of the index of 10,000 jobs, and one real job."""
    (job_id,) = named(store_context, "the needle.mp4")
    client, key = store_context.client, store_context.key
    order = client.zrange(key("jobs:any:me"), 0, 0)[0]
    assert order.endswith(job_id)
    ids = [f"{number:032x}" for number in range(2**100, 2**100 + 10_000)]
    now = int(order[:13])
    lines = {f"{now + number:013d}{one}": 0 for number, one in enumerate(ids, 1)}
    client.zadd(key("jobs:any:me"), lines)
    names = {one: f"holiday {number}.mp4" for number, one in enumerate(ids)}
    client.hset(key("names:me"), mapping=names)
    return store_context


def test_ten_thousand_jobs_are_searched(many: StoreContext) -> None:
    began = time.perf_counter()
    jobs, following = many.store.search("me", "needle")
    print(f"{(time.perf_counter() - began) * 1000:.0f} ms for 10,000 jobs")
    assert ([job.source.name for job in jobs], following) == (["the needle.mp4"], None)


def test_one_request_looks_at_so_many_jobs_alone(
    many: StoreContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.jobs.store.jobs._MOST_SEARCHED", 3000)
    seen, cursor, requests = 0, None, 0
    while True:
        jobs, cursor = many.store.search("me", "needle", cursor=cursor)
        seen, requests = seen + len(jobs), requests + 1
        if cursor is None:
            break
    assert (seen, requests) == (1, 4)
