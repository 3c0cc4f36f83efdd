"""Idempotency-Key on every POST: one effect, one answer."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.http import idempotency as repeats
from api.openapi.document import document
from common.errors import StoreUnavailable
from common.jobs.store import JobStore
from tests.api.conftest import Context
from tests.api.http.test_auth import a_key

KEY = {"Idempotency-Key": "k-1"}
UPLOAD = {"size": 3, "filename": "a.mp4"}
TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "3"}


def uploads(context: Context) -> int:
    store = context.runtime.store
    return int(store._client.zcard(f"{store._prefix}uploads"))


def same(first: Any, again: Any) -> bool:
    fields = ("Content-Type", "Location", "Upload-Offset", "Retry-After")
    return (
        first.status_code == again.status_code
        and first.data == again.data
        and all(first.headers.get(name) == again.headers.get(name) for name in fields)
        and again.headers.get(repeats.REPLAYED) == "true"
        and first.headers["X-Request-Id"] != again.headers["X-Request-Id"]
    )


def test_given_an_upload_twice_then_one_and_the_same_answer(context: Context) -> None:
    answers = [
        context.client.post("/v1/uploads", json=UPLOAD, headers=KEY) for _ in range(2)
    ]
    assert answers[0].status_code == 201
    assert same(*answers)
    assert uploads(context) == 1


def test_given_equal_json_in_another_order_then_the_same_answer(
    context: Context,
) -> None:
    sent = [
        ('{"size":3,"filename":"a"}', "application/json"),
        (' {"filename": "a", "size": 3}', "application/json; charset=utf-8"),
    ]
    answers = [
        context.client.post(
            "/v1/uploads",
            data=text,
            headers={**KEY, "Content-Type": kind},
        )
        for text, kind in sent
    ]
    assert same(*answers)


def test_given_another_body_then_422(context: Context) -> None:
    context.client.post("/v1/uploads", json=UPLOAD, headers=KEY)
    answer = context.client.post("/v1/uploads", json={"size": 4}, headers=KEY)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_mismatch")
    assert uploads(context) == 1


def test_given_another_address_then_another_key(context: Context) -> None:
    context.client.post("/v1/uploads", json=UPLOAD, headers=KEY)
    job = context.submit()
    answer = context.client.post(f"/v1/jobs/{job['id']}/cancel", headers=KEY)
    assert (answer.status_code, answer.json["status"]) == (202, "cancelled")


@pytest.mark.parametrize("key", ["", "é", "x" * 256])
def test_given_a_bad_key_then_422_everywhere(context: Context, key: str) -> None:
    job = context.submit()
    for path in ("/v1/uploads", f"/v1/jobs/{job['id']}/retry", "/v1/tus"):
        answer = context.client.post(
            path, json=UPLOAD, headers={**TUS, "Idempotency-Key": key}
        )
        assert answer.json["pointer"] == "/Idempotency-Key"


def test_given_a_cancel_twice_then_the_first_answer_and_no_conflict(
    context: Context,
) -> None:
    path = f"/v1/jobs/{context.submit()['id']}/cancel"
    answers = [context.client.post(path, headers=KEY) for _ in range(2)]
    assert answers[0].status_code == 202
    assert same(*answers)
    assert context.client.post(path).status_code == 409


def test_given_a_retry_twice_then_one_run(context: Context) -> None:
    job = context.submit()
    context.client.post(f"/v1/jobs/{job['id']}/cancel")
    path = f"/v1/jobs/{job['id']}/retry"
    answers = [context.client.post(path, headers=KEY) for _ in range(2)]
    assert same(*answers)
    events = [one.type for one in context.runtime.store.events(job["id"])]
    assert events.count("job.retried") == 1


def test_given_a_completion_twice_then_the_same_answer(context: Context) -> None:
    upload = context.client.post("/v1/uploads", json={**UPLOAD, "job": {}}).json
    put = upload["put"]
    context.client.put(put["url"], data=b"abc", headers=put["headers"])
    path = f"/v1/uploads/{upload['id']}/complete"
    answers = [context.client.post(path, headers=KEY) for _ in range(2)]
    assert answers[0].status_code == 200, answers[0].json
    assert same(*answers)


def test_given_a_tus_creation_twice_then_one_upload(context: Context) -> None:
    name = base64.b64encode(b"a.mp4").decode()
    headers = {**TUS, **KEY, "Upload-Metadata": f"filename {name}"}
    answers = [context.client.post("/v1/tus", headers=headers) for _ in range(2)]
    assert answers[0].status_code == 201
    assert same(*answers)
    other = context.client.post("/v1/tus", headers={**headers, "Upload-Length": "4"})
    assert other.status_code == 422
    assert uploads(context) == 1


def test_given_a_tus_creation_with_bytes_then_they_are_kept(context: Context) -> None:
    kind = "application/offset+octet-stream"
    headers = {**TUS, **KEY, "Content-Type": kind}
    answers = [
        context.client.post("/v1/tus", headers=headers, data=b"abc") for _ in range(2)
    ]
    assert answers[0].headers["Upload-Offset"] == "3"
    assert same(*answers)


def test_given_a_replay_twice_then_it_is_queued_once(context: Context) -> None:
    notify = [{"type": "webhook", "url": "https://a.b/", "events": ["job.accepted"]}]
    job = context.submit(notify=notify)
    store = context.runtime.store
    delivery = f"{job['id']}:n:1"
    store.finish(context.claim(delivery))
    path = f"/v1/webhooks/deliveries/{delivery}/replay"
    answers = [context.client.post(path, headers=KEY) for _ in range(2)]
    assert answers[0].status_code == 202
    assert same(*answers)


def test_given_a_refusal_then_the_key_is_free_again(context: Context) -> None:
    job = context.submit()
    context.make(job["id"])
    path = f"/v1/jobs/{job['id']}/cancel"
    first = context.client.post(path, headers=KEY)
    again = context.client.post(path, headers=KEY)
    assert [first.status_code, again.status_code] == [409, 409]
    assert repeats.REPLAYED not in again.headers


def test_given_two_owners_then_they_do_not_share_a_key(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"auth": True})
    ids = {
        context.client.post("/v1/uploads", json=UPLOAD, headers={**who, **KEY}).json[
            "id"
        ]
        for who in (a_key(context), a_key(context, owner="ben"))
    }
    assert len(ids) == 2


def test_given_no_valid_api_key_then_401_and_nothing_of_the_answer(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"auth": True})
    anna = a_key(context)
    context.client.post("/v1/uploads", json=UPLOAD, headers={**anna, **KEY})
    assert (
        context.client.post("/v1/uploads", json=UPLOAD, headers=KEY).status_code == 401
    )


@pytest.mark.parametrize("path", ["/v1/uploads", "/v1/jobs"])
def test_given_a_hundred_at_once_then_one_effect(
    make_context: Callable[..., Context], path: str
) -> None:
    # A busy machine may take longer than the service would wait for its store.
    context = make_context(store={"timeout_seconds": 30})
    app = context.client.application
    body = {"/v1/uploads": UPLOAD}.get(path) or {
        "source": {"s3": {"bucket": "framemill", "key": "a.mp4"}}
    }
    start = threading.Barrier(20)

    def send(number: int) -> Any:
        if number < 20:
            start.wait(60)
        return app.test_client().post(path, json=body, headers=KEY)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(100)))
    assert {one.status_code for one in answers} <= {201, 202}
    assert len({one.json["id"] for one in answers}) == 1
    made = uploads(context) if path == "/v1/uploads" else len(jobs(context))
    assert made == 1


def jobs(context: Context) -> list[Any]:
    found: list[Any] = context.client.get("/v1/jobs").json["jobs"]
    return found


def test_given_the_first_still_at_work_then_409_after_a_while(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = context.submit()
    path = f"/v1/jobs/{job['id']}/cancel"
    monkeypatch.setattr(repeats, "_WAIT_SECONDS", 0.0)
    seen: list[Any] = []
    cancel = JobStore.cancel

    def slow(store: JobStore, job_id: str) -> Any:
        seen.append(context.client.application.test_client().post(path, headers=KEY))
        return cancel(store, job_id)

    monkeypatch.setattr(JobStore, "cancel", slow)
    assert context.client.post(path, headers=KEY).status_code == 202
    assert (seen[0].status_code, seen[0].json["code"]) == (409, "conflict")


def test_given_a_store_away_at_the_end_then_the_effect_is_told(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(JobStore, "keep_answer", fail)
    assert (
        context.client.post("/v1/uploads", json=UPLOAD, headers=KEY).status_code == 201
    )


def test_every_post_of_the_document_takes_the_key() -> None:
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    for path, operations in document()["paths"].items():
        if "post" in operations and path not in {"/v1/events/s3", "/session"}:
            assert key in operations["post"]["parameters"], path
