"""``/v1/batches``: one request, many jobs, and who may have which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from common.access.keys import KeyRecord, Keys
from common.jobs.store import Claim, JobStore
from tests.api.conftest import Context

KEYS = {
    *("id", "status", "progress", "total", "counts", "expanded", "prefix", "error"),
    *("warnings", "metadata", "created_at", "updated_at", "finished_at", "expires_at"),
    *("links", "left_out"),
}


def an_object(key: str = "films/a.mp4") -> dict[str, Any]:
    return {"s3": {"bucket": "framemill", "key": key}}


def post(context: Context, headers: dict[str, str] | None = None, **body: Any) -> Any:
    given = body if "prefix" in body else {"sources": [an_object()]} | body
    return context.client.post("/v1/batches", json=given, headers=headers or {})


def submit(context: Context, *keys: str, **body: Any) -> dict[str, Any]:
    sources = [an_object(key) for key in keys or ("films/a.mp4",)]
    answer = post(context, sources=sources, **body)
    assert answer.status_code == 202, answer.json
    batch: dict[str, Any] = answer.json
    return batch


def expand(context: Context, batch_id: str) -> list[str]:
    """Make the jobs of a batch as its task does; return their ids."""
    store: JobStore = context.runtime.store
    claim = context.claim(f"{batch_id}:batch")
    assert isinstance(claim, Claim)
    record = store.batch(batch_id)
    assert record is not None
    for number, source in enumerate(store.batch_sources(batch_id, 0, 100)):
        context.runtime.batches.make_job(claim, record, source, str(number))
    assert store.end_stage(claim, "expand") is not None
    return store.children(batch_id)[0]


def show(context: Context, batch_id: str) -> Any:
    return context.client.get(f"/v1/batches/{batch_id}").json


def pointers(answer: TestResponse) -> list[str]:
    document: Any = answer.json
    return [fault["pointer"] for fault in document["faults"]]


def test_given_sources_when_posted_then_202_with_the_whole_batch(
    context: Context,
) -> None:
    answer = post(context, sources=[an_object("a"), an_object("b")], metadata=[1])
    batch = answer.json
    assert answer.status_code == 202
    assert answer.headers["Location"] == batch["links"]["self"]
    assert set(batch) == KEYS
    assert (batch["status"], batch["total"], batch["progress"]) == ("accepted", 2, 0)
    assert batch["metadata"] == [1]
    (message,) = context.dispatcher.messages
    assert (message.task, message.kind) == (f"{batch['id']}:batch", "batch")


def test_given_a_cancelled_batch_then_the_sources_without_a_job_are_counted(
    context: Context,
) -> None:
    batch = submit(context, "a", "b", "c")
    context.client.post(batch["links"]["cancel"])
    assert (batch["left_out"], show(context, batch["id"])["left_out"]) == (0, 3)


def test_given_a_prefix_when_posted_then_its_total_is_not_known_yet(
    context: Context,
) -> None:
    place = {"bucket": "framemill", "prefix": "films/", "suffix": ".mp4"}
    batch = post(context, prefix={"s3": place}).json
    assert (batch["total"], batch["prefix"]) == (None, place)


def test_given_jobs_that_end_when_shown_then_the_batch_counts_them(
    context: Context,
) -> None:
    batch_id = submit(context, "a", "b", "c", "d")["id"]
    jobs = expand(context, batch_id)
    context.make(jobs[0])
    context.client.post(f"/v1/jobs/{jobs[1]}/cancel")
    batch = show(context, batch_id)
    counts = {name: n for name, n in batch["counts"].items() if n}
    assert counts == {"completed": 1, "cancelled": 1, "accepted": 2}
    assert (batch["status"], batch["progress"]) == ("processing", 50)


def test_given_a_batch_when_it_ends_then_its_document_says_so(context: Context) -> None:
    batch_id = submit(context)["id"]
    (job_id,) = expand(context, batch_id)
    context.make(job_id)
    batch = show(context, batch_id)
    assert (batch["status"], batch["progress"]) == ("completed", 100)
    assert batch["finished_at"] < batch["expires_at"]


def test_given_a_batch_when_its_jobs_are_listed_then_no_others_are(
    context: Context,
) -> None:
    batch = submit(context, "a", "b")
    jobs = expand(context, batch["id"])
    context.submit()
    context.make(jobs[0])
    listed = context.client.get(batch["links"]["jobs"]).json
    done = context.client.get(f"{batch['links']['jobs']}&status=completed").json
    assert {job["id"] for job in listed["jobs"]} == set(jobs)
    assert {job["batch_id"] for job in listed["jobs"]} == {batch["id"]}
    assert [job["id"] for job in done["jobs"]] == [jobs[0]]


def test_given_many_jobs_when_listed_then_the_cursor_leads_to_all(
    context: Context,
) -> None:
    batch = submit(context, "a", "b", "c")
    jobs = expand(context, batch["id"])
    url = batch["links"]["jobs"] + "&limit=2"
    first = context.client.get(url).json
    rest = context.client.get(f"{url}&cursor={first['next']}").json
    found = [job["id"] for page in (first, rest) for job in page["jobs"]]
    assert sorted(found) == sorted(jobs)


def test_given_an_etag_when_nothing_changed_then_304(context: Context) -> None:
    batch_id = submit(context)["id"]
    first = context.client.get(f"/v1/batches/{batch_id}")
    headers = {"If-None-Match": first.headers["ETag"]}
    assert context.client.get(
        f"/v1/batches/{batch_id}", headers=headers
    ).status_code == (304)


def test_given_batches_when_listed_then_newest_first(context: Context) -> None:
    made = [submit(context)["id"] for _ in range(3)]
    page = context.client.get("/v1/batches?limit=2").json
    rest = context.client.get(f"/v1/batches?limit=2&cursor={page['next']}").json
    found = [one["id"] for one in page["batches"] + rest["batches"]]
    assert sorted(found) == sorted(made)
    assert rest["next"] is None


def test_given_an_open_batch_when_cancelled_then_202_and_no_more_jobs(
    context: Context,
) -> None:
    batch_id = submit(context)["id"]
    answer = context.client.post(f"/v1/batches/{batch_id}/cancel")
    assert (answer.status_code, answer.json["status"]) == (202, "cancelled")
    assert context.client.post(f"/v1/batches/{batch_id}/cancel").status_code == 409


def test_given_a_batch_when_deleted_then_404(context: Context) -> None:
    batch_id = submit(context)["id"]
    assert context.client.delete(f"/v1/batches/{batch_id}").status_code == 204
    for answer in (
        context.client.get(f"/v1/batches/{batch_id}"),
        context.client.get(f"/v1/jobs?batch={batch_id}"),
        context.client.get("/v1/jobs?batch="),
        context.client.post(f"/v1/batches/{batch_id}/cancel"),
        context.client.delete(f"/v1/batches/{batch_id}"),
    ):
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ""),
        ({"sources": [an_object()], "prefix": {"s3": {}}}, "/prefix/s3/bucket"),
        ({"sources": []}, "/sources"),
        ({"sources": [an_object(), {}]}, "/sources/1"),
        ({"sources": [an_object(), {"url": "https://a.test"}]}, "/sources/1/url"),
        ({"sources": [{"job": "0" * 32}]}, "/sources/0/job"),
        ({"sources": [an_object(f"in/{'0' * 32}/source")]}, "/sources/0/s3/key"),
        (
            {"sources": [{"s3": {"bucket": "another", "key": "a"}}]},
            "/sources/0/s3/bucket",
        ),
        (
            {"prefix": {"s3": {"bucket": "another", "prefix": "a"}}},
            "/prefix/s3/bucket",
        ),
        ({"sources": [an_object()], "preset": "none"}, "/preset"),
    ],
)
def test_given_a_fault_when_posted_then_422_says_where(
    context: Context, body: dict[str, Any], where: str
) -> None:
    answer = context.client.post("/v1/batches", json=body)
    assert answer.status_code == 422
    assert where in pointers(answer)


def test_given_too_many_sources_when_posted_then_the_setting_is_named(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(limits={"batch_jobs": 1})
    answer = post(context, sources=[an_object(), an_object()])
    assert answer.status_code == 422
    assert "FRAMEMILL_LIMITS_BATCH_JOBS" in answer.json["faults"][0]["hint"]


def test_given_a_destination_for_all_then_it_must_tell_the_jobs_apart(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(blobs={"backend": "s3", "destinations": ["results"]})
    place = {"bucket": "results", "prefix": "films"}
    answer = post(context, destination={"s3": place})
    assert pointers(answer) == ["/destination/s3/prefix"]
    place["prefix"] = "films/{job_id}"
    assert post(context, destination={"s3": place}).status_code == 202


def test_given_one_idempotency_key_then_one_batch(context: Context) -> None:
    headers = {"Idempotency-Key": "k"}
    first, again = (post(context, headers) for _ in range(2))
    other = post(context, headers, metadata=1)
    assert first.json["id"] == again.json["id"]
    assert other.status_code == 422
    assert len(context.client.get("/v1/batches").json["batches"]) == 1


def test_given_subscribers_then_each_hears_of_what_it_asked(context: Context) -> None:
    def hook(**fields: Any) -> dict[str, Any]:
        return {"type": "webhook", "url": "https://a.test/hook", **fields}

    told = [hook(), hook(events=["job.completed"]), hook(events=["*"])]
    batch_id = submit(context, notify=told)["id"]
    (job_id,) = expand(context, batch_id)
    context.make(job_id)
    deliveries, _ = context.runtime.store.deliveries()
    heard = [
        (one.subscription.id, one.event.type)
        for one in deliveries
        if one.event.type.endswith(".completed")
    ]
    assert sorted(heard) == [
        ("s1", "batch.completed"),
        ("s2", "job.completed"),
        ("s3", "batch.completed"),
        ("s3", "job.completed"),
    ]


class TestKeys:
    """Batches belong to their key, and its limits hold for them."""

    @pytest.fixture
    def ask(self, make_context: Callable[..., Context]) -> Callable[..., Any]:
        context = make_context(
            api={"auth": True}, source={"buckets": ["framemill", "other"]}
        )
        keys = Keys.connect(context.runtime.settings)

        def ask(
            method: str, path: str, owner: str, body: Any = None, **limits: Any
        ) -> Any:
            if owner not in tokens:
                record = KeyRecord(id=owner, name=owner, owner=owner, **limits)
                tokens[owner] = keys.create(record)
            headers = {"Authorization": f"Bearer {tokens[owner]}"}
            return context.client.open(path, method=method, json=body, headers=headers)

        tokens: dict[str, str] = {}
        return ask

    def test_given_another_owner_then_404(self, ask: Callable[..., Any]) -> None:
        body = {"sources": [an_object()]}
        batch_id = ask("POST", "/v1/batches", "me", body).json["id"]
        path = f"/v1/batches/{batch_id}"
        assert ask("GET", path, "me").status_code == 200
        for method, address in (
            ("GET", path),
            ("POST", f"{path}/cancel"),
            ("DELETE", path),
            ("GET", f"/v1/jobs?batch={batch_id}"),
        ):
            assert ask(method, address, "you").status_code == 404
        assert ask("GET", "/v1/batches", "you").json["batches"] == []

    @pytest.mark.parametrize(
        ("place", "where"),
        [
            ({"bucket": "other", "prefix": "mine/"}, "/prefix/s3/bucket"),
            ({"bucket": "framemill", "prefix": "min"}, "/prefix/s3/prefix"),
            ({"bucket": "framemill", "prefix": ""}, "/prefix/s3/prefix"),
        ],
    )
    def test_given_a_place_that_the_key_may_not_read_then_403(
        self, ask: Callable[..., Any], place: dict[str, str], where: str
    ) -> None:
        limits = {"buckets": ["framemill"], "prefixes": ["mine/"]}
        body = {"prefix": {"s3": place}}
        answer = ask("POST", "/v1/batches", "me", body, **limits)
        assert (answer.status_code, answer.json["pointer"]) == (403, where)

    def test_given_one_source_that_the_key_may_not_read_then_there_is_no_batch(
        self, ask: Callable[..., Any]
    ) -> None:
        limits = {"prefixes": ["mine/"]}
        body = {"sources": [an_object("mine/a"), an_object("yours/a")]}
        answer = ask("POST", "/v1/batches", "me", body, **limits)
        assert answer.json["pointer"] == "/sources/1/s3/key"
        assert ask("GET", "/v1/batches", "me", **limits).json["batches"] == []
