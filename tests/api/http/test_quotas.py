"""Quotas: what counts against a day, what gives it back, and how both are told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from common.errors import StorageUnavailable, StoreUnavailable
from common.jobs.store import Opening
from common.model import MediaInfo
from common.uploads import Uploads
from tests.api.conftest import OBJECT, Context, a_file, post_form
from tests.api.http.test_auth import a_key, submit

UPLOAD = {"size": 3, "job": {}}
# A List of Strings with integer parameters (RFC 9651), as the draft wants both fields.
_ITEM = r'"[a-z-]+"(;[a-z]+=[0-9]+)+'
_LIST = re.compile(rf"{_ITEM}(, {_ITEM})*")


@pytest.fixture
def guarded(make_context: Callable[..., Context]) -> Context:
    return make_context(api={"auth": True})


def announce(context: Context, headers: dict[str, str], **more: Any) -> Any:
    return context.client.post("/v1/uploads", json=UPLOAD | more, headers=headers)


def left_today(context: Context, headers: dict[str, str]) -> int:
    """Submit a job; gives what the day had left before it."""
    answer = submit(context, headers)
    if answer.status_code == 429:
        return 0
    found = re.search(r'"jobs-per-day";r=(\d+)', answer.headers["RateLimit"])
    assert found is not None
    return int(found[1]) + 1


def counters(context: Context) -> tuple[str, str]:
    """Return the names of the one key's counters of today and of yesterday."""
    store = context.runtime.store
    (counter,) = store._client.scan_iter(f"{store._prefix}key:day:*")
    key, _, day = counter.rpartition(":")
    return counter, f"{key}:{int(day) - 1}"


def complete(context: Context, upload: Any, headers: dict[str, str]) -> Any:
    """Put the bytes of an announced upload, and complete it."""
    put = upload["put"]
    context.client.put(put["url"], data=b"abc", headers=put["headers"])
    path = f"/v1/uploads/{upload['id']}/complete"
    return context.client.post(path, headers=headers)


def end_by_abort(context: Context, upload_id: str, headers: dict[str, str]) -> None:
    path = f"/v1/uploads/{upload_id}"
    assert context.client.delete(path, headers=headers).status_code == 204


def end_by_tus(context: Context, upload_id: str, headers: dict[str, str]) -> None:
    tus = {**headers, "Tus-Resumable": "1.0.0"}
    answer = context.client.delete(f"/v1/tus/{upload_id}", headers=tus)
    assert answer.status_code == 204


def end_by_expiry(context: Context, upload_id: str, headers: dict[str, str]) -> None:
    store = context.runtime.store
    store._client.zadd(f"{store._prefix}uploads", {upload_id: 1})
    uploads = Uploads.connect(context.runtime.settings, context.runtime.blobs)
    assert uploads.sweep() == 1


@pytest.mark.parametrize("end", [end_by_abort, end_by_tus, end_by_expiry])
def test_given_an_upload_that_ends_without_its_job_then_the_day_has_it_back(
    guarded: Context, end: Callable[..., None]
) -> None:
    headers = a_key(guarded, jobs_per_day=3)
    upload = announce(guarded, headers).json
    end(guarded, upload["id"], headers)
    assert left_today(guarded, headers) == 3


def test_given_an_upload_dropped_twice_then_it_is_given_back_once(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_per_day=3)
    submit(guarded, headers)
    upload = announce(guarded, headers).json
    uploads = Uploads.connect(guarded.runtime.settings, guarded.runtime.blobs)
    record = uploads.get(upload["id"], None)
    uploads.drop(record)
    uploads.drop(record)
    assert left_today(guarded, headers) == 2


def test_given_an_upload_whose_job_began_then_its_end_gives_nothing_back(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_per_day=3)
    upload = announce(guarded, headers).json
    assert complete(guarded, upload, headers).status_code == 200
    end_by_abort(guarded, upload["id"], headers)
    assert left_today(guarded, headers) == 2


def test_given_a_crash_after_the_job_then_its_source_stays_and_the_day_is_spent(
    guarded: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise StoreUnavailable("gone")

    headers = a_key(guarded, jobs_per_day=3)
    upload = announce(guarded, headers).json
    with monkeypatch.context() as patch:
        patch.setattr(Uploads, "use", fail)
        assert complete(guarded, upload, headers).status_code == 503
    end_by_abort(guarded, upload["id"], headers)
    assert guarded.stored() == [f"in/{upload['id']}/source"]
    assert guarded.runtime.store.get(upload["id"]) is not None
    assert left_today(guarded, headers) == 2


def test_given_an_upload_without_a_job_then_nothing_is_counted(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_per_day=3)
    upload = announce(guarded, headers, job=None).json
    end_by_abort(guarded, upload["id"], headers)
    assert left_today(guarded, headers) == 3


def test_given_an_upload_refused_by_storage_then_nothing_is_counted(
    guarded: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StorageUnavailable("gone")

    headers = a_key(guarded, jobs_per_day=3)
    monkeypatch.setattr(type(guarded.runtime.blobs), "begin_parts", fail)
    assert announce(guarded, headers, mode="parts").status_code == 503
    assert left_today(guarded, headers) == 3


TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "3"}


def test_given_a_full_key_then_another_upload_is_429_and_spends_no_day(
    guarded: Context,
) -> None:
    headers = a_key(guarded, uploads_at_once=2, jobs_per_day=9)
    announced = [announce(guarded, headers).status_code for _ in range(2)]
    refused = announce(guarded, headers)
    assert [*announced, refused.status_code] == [201, 201, 429]
    assert refused.headers["Retry-After"] == "30"
    assert '"uploads-at-once";r=0;t=30' in refused.headers["RateLimit"]
    assert '"uploads-at-once";q=2' in refused.headers["RateLimit-Policy"]
    assert left_today(guarded, headers) == 7


def test_given_a_full_key_then_a_resumable_upload_is_429_and_leaves_nothing(
    guarded: Context,
) -> None:
    headers = a_key(guarded, uploads_at_once=1)
    announce(guarded, headers, mode="parts")
    before = sorted(guarded.folder.rglob("*"))
    answer = guarded.client.post("/v1/tus", headers=headers | TUS)
    assert answer.status_code == 429
    assert sorted(guarded.folder.rglob("*")) == before


def test_given_the_setting_then_a_key_without_a_cap_has_it(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"auth": True}, limits={"uploads_at_once": 1})
    headers = a_key(context)
    statuses = [announce(context, headers).status_code for _ in range(2)]
    assert statuses == [201, 429]


def test_given_no_keys_then_uploads_are_not_counted(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(limits={"uploads_at_once": 1})
    assert [announce(context, {}).status_code for _ in range(2)] == [201, 201]


def test_given_an_upload_that_is_aborted_then_its_place_is_free(
    guarded: Context,
) -> None:
    headers = a_key(guarded, uploads_at_once=1)
    end_by_abort(guarded, announce(guarded, headers).json["id"], headers)
    assert announce(guarded, headers).status_code == 201


def test_given_an_upload_that_is_finished_then_its_place_is_free(
    guarded: Context,
) -> None:
    headers = a_key(guarded, uploads_at_once=1)
    bytes_too = headers | TUS | {"Content-Type": "application/offset+octet-stream"}
    done = guarded.client.post("/v1/tus", headers=bytes_too, data=b"abc")
    assert (done.status_code, done.headers["Upload-Offset"]) == (201, "3")
    assert announce(guarded, headers).status_code == 201


def test_given_an_upload_that_expired_then_its_place_is_free_before_any_sweep(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"auth": True}, retention={"upload_hours": 1e-4})
    headers = a_key(context, uploads_at_once=1, burst=1_000)
    assert announce(context, headers).status_code == 201
    deadline = time.monotonic() + 20
    while announce(context, headers).status_code == 429:  # for 0.36 s
        assert time.monotonic() < deadline, "the place is taken for good"


def test_given_parallel_uploads_then_no_more_than_the_cap(guarded: Context) -> None:
    headers = a_key(guarded, uploads_at_once=3, burst=100)
    with ThreadPoolExecutor(12) as pool:
        found = list(
            pool.map(lambda _: announce(guarded, headers).status_code, range(12))
        )
    assert sorted(found) == [201] * 3 + [429] * 9


def test_given_yesterdays_upload_then_today_gets_nothing(guarded: Context) -> None:
    headers = a_key(guarded, jobs_per_day=3)
    upload = announce(guarded, headers).json
    store = guarded.runtime.store
    today, yesterday = counters(guarded)
    store._client.set(f"{store._prefix}key:reserved:{upload['id']}", yesterday)
    store._client.set(yesterday, 1)
    end_by_abort(guarded, upload["id"], headers)
    assert store._client.mget(today, yesterday) == ["1", "0"]


def test_given_an_upload_that_an_older_version_opened_then_its_place_is_given_back(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_per_day=3)
    upload = announce(guarded, headers).json
    store, (today, _) = guarded.runtime.store, counters(guarded)
    store._client.delete(f"{store._prefix}key:reserved:{upload['id']}")
    record = f"{store._prefix}upload:{upload['id']}"
    document = json.loads(store._client.hget(record, "doc"))
    document["job"]["spent"] = today
    store._client.hset(record, "doc", json.dumps(document))
    end_by_abort(guarded, upload["id"], headers)
    assert store._client.get(today) == "0"


def test_given_a_job_that_an_older_version_made_then_its_upload_gives_nothing_back(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_per_day=3)
    upload = announce(guarded, headers).json
    assert complete(guarded, upload, headers).status_code == 200
    store, (today, _) = guarded.runtime.store, counters(guarded)
    # It knew no reservations, so it left this one where it was.
    store._client.set(f"{store._prefix}key:reserved:{upload['id']}", today)
    end_by_abort(guarded, upload["id"], headers)
    assert store._client.get(today) == "1"


def test_given_a_job_whose_record_is_gone_then_its_upload_gives_nothing_back(
    guarded: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = a_key(guarded, jobs_per_day=3)
    upload = announce(guarded, headers).json
    with monkeypatch.context() as patch:
        patch.setattr(Uploads, "use", lambda *_: None)
        assert complete(guarded, upload, headers).status_code == 200
    guarded.runtime.jobs.delete(upload["id"], None)
    store = guarded.runtime.store
    store._client.delete(f"{store._prefix}users:in/{upload['id']}/source")
    end_by_abort(guarded, upload["id"], headers)
    assert left_today(guarded, headers) == 2


def test_given_parallel_uploads_with_jobs_then_no_more_than_the_day_has(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_per_day=3, burst=100)
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda _: announce(guarded, headers).status_code, range(16))
        )
    assert sorted(found) == [201] * 3 + [429] * 13


def test_given_both_limits_then_both_are_told_on_a_granted_answer(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_per_day=5, requests_per_second=10, burst=40)
    answer = submit(guarded, headers)
    assert answer.status_code == 202
    policy, limit = (answer.headers[name] for name in ("RateLimit-Policy", "RateLimit"))
    assert policy == '"requests";q=40;w=4, "jobs-per-day";q=5;w=86400'
    assert re.match(r'"requests";r=39;t=1, "jobs-per-day";r=4;t=\d+$', limit)
    assert _LIST.fullmatch(policy)
    assert _LIST.fullmatch(limit)


def test_given_a_day_that_is_used_up_then_429_tells_it(guarded: Context) -> None:
    headers = a_key(guarded, jobs_per_day=1)
    submit(guarded, headers)
    answer = submit(guarded, headers)
    assert answer.status_code == 429
    reset = answer.headers["Retry-After"]
    assert answer.headers["RateLimit"] == f'"jobs-per-day";r=0;t={reset}'
    assert answer.headers["RateLimit-Policy"] == '"jobs-per-day";q=1;w=86400'


def test_given_a_refused_request_then_the_day_has_as_many_left(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_per_day=5)
    answer = submit(guarded, headers, outputs=[{"kind": "film"}])
    assert answer.status_code == 422
    assert answer.headers["RateLimit"].startswith('"jobs-per-day";r=5;')


def test_given_a_day_that_is_used_up_then_a_repeat_still_gets_its_job(
    guarded: Context,
) -> None:
    headers = {**a_key(guarded, jobs_per_day=1), "Idempotency-Key": "k"}
    answers = [submit(guarded, headers) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 202]
    assert answers[0].json["id"] == answers[1].json["id"]


def test_given_a_day_that_is_used_up_then_a_repeated_form_still_gets_its_job(
    guarded: Context,
) -> None:
    headers = {**a_key(guarded, jobs_per_day=1), "Idempotency-Key": "k"}
    answers = [post_form(guarded, {"file": a_file()}, headers) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 202]
    assert answers[0].json["id"] == answers[1].json["id"]


def test_given_a_day_that_is_used_up_then_another_idempotency_key_is_429(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_per_day=1)
    submit(guarded, {**headers, "Idempotency-Key": "k"})
    answer = submit(guarded, {**headers, "Idempotency-Key": "other"})
    assert answer.status_code == 429
    assert "1 jobs a day" in answer.json["detail"]
    assert 1 <= int(answer.headers["Retry-After"]) <= 86_400


def test_given_parallel_jobs_then_no_more_than_the_day_has(guarded: Context) -> None:
    headers = a_key(guarded, jobs_per_day=3)
    app = guarded.client.application
    body = {"source": OBJECT}

    def post(_: int) -> int:
        return (
            app.test_client().post("/v1/jobs", json=body, headers=headers).status_code
        )

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(post, range(24)))
    assert (told.count(202), told.count(429)) == (3, 21)


def test_given_parallel_repeats_of_the_days_last_job_then_all_get_it(
    guarded: Context,
) -> None:
    headers = {**a_key(guarded, jobs_per_day=1), "Idempotency-Key": "k"}
    app = guarded.client.application
    body = {"source": OBJECT}

    def post(_: int) -> str:
        answer = app.test_client().post("/v1/jobs", json=body, headers=headers)
        return str(answer.json["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(post, range(24)))) == 1


def test_given_a_store_that_is_lost_then_no_job_goes_uncounted(
    guarded: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = a_key(guarded, jobs_per_day=1)
    accept = guarded.runtime.store.accept

    def lose(*given: Any, **named: Any) -> None:
        accept(*given, **named)
        raise StoreUnavailable("its answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(guarded.runtime.store, "accept", lose)
        assert submit(guarded, headers).status_code == 503
    assert submit(guarded, headers).status_code == 429


def test_given_a_full_key_then_an_ended_job_is_not_retried_beside_the_others(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_at_once=1)
    ended = submit(guarded, headers).json
    path = f"/v1/jobs/{ended['id']}"
    guarded.client.post(f"{path}/cancel", headers=headers)
    other = submit(guarded, headers).json
    refused = guarded.client.post(f"{path}/retry", headers=headers)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert refused.headers["RateLimit"] == '"jobs-at-once";r=0;t=30'
    guarded.client.post(f"/v1/jobs/{other['id']}/cancel", headers=headers)
    assert guarded.client.post(f"{path}/retry", headers=headers).status_code == 202


def test_given_a_full_key_then_an_unfinished_job_may_be_retried(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_at_once=1)
    outputs = [{"kind": "thumbnail", "name": name} for name in ("bad", "open")]
    job = submit(guarded, headers, outputs=outputs).json["id"]
    store = guarded.runtime.store
    record = store.get(job)
    assert record is not None
    openings = {"bad": Opening(), "open": Opening()}
    media = MediaInfo(container="mp4", duration=4.0)
    store.open(guarded.claim(f"{job}:prepare"), media, record.source, openings)
    store.release(guarded.claim(f"{job}:o:bad"), "cancelled")
    answer = guarded.client.post(f"/v1/jobs/{job}/retry", headers=headers)
    assert answer.status_code == 202, answer.json


def test_given_a_key_without_limits_then_no_fields(guarded: Context) -> None:
    answer = submit(guarded, a_key(guarded))
    assert "RateLimit" not in answer.headers
    assert "RateLimit-Policy" not in answer.headers


def test_given_the_cap_on_unfinished_jobs_then_429_has_retry_after(
    guarded: Context,
) -> None:
    headers = a_key(guarded, jobs_at_once=1, jobs_per_day=5)
    assert submit(guarded, headers).status_code == 202
    answer = submit(guarded, headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert answer.headers["RateLimit"].startswith('"jobs-per-day";r=4;')
    assert answer.headers["RateLimit"].endswith(', "jobs-at-once";r=0;t=30')
    assert answer.headers["RateLimit-Policy"].endswith(', "jobs-at-once";q=1')
    assert _LIST.fullmatch(answer.headers["RateLimit"])


def test_given_a_rate_that_is_used_up_when_a_tus_upload_goes_on_then_423(
    guarded: Context,
) -> None:
    headers = a_key(guarded, requests_per_second=0.01, burst=2)
    headers |= {"Tus-Resumable": "1.0.0"}
    made = guarded.client.post("/v1/tus", headers=headers | {"Upload-Length": "3"})
    path = made.headers["Location"]
    assert guarded.client.head(path, headers=headers).status_code == 200
    octets = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    requested = guarded.client.head(path, headers=headers)
    sent = guarded.client.patch(path, headers=headers | octets, data=b"abc")
    for answer in (requested, sent):
        assert answer.status_code == 423
        assert int(answer.headers["Retry-After"]) > 1
        assert answer.headers["RateLimit"].startswith('"requests";r=0')
    assert (sent.json["code"], sent.json["status"]) == ("upload_locked", 423)
    # One that begins is told of the limit, which its client does not wait for.
    again = guarded.client.post("/v1/tus", headers=headers | {"Upload-Length": "3"})
    assert again.status_code == 429
