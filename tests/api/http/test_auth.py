"""API keys: who is let in, what they see, and where their limits are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.access.keys import KeyRecord, Keys, digest, new_key_id
from tests.api.conftest import OBJECT, Context

Make = Callable[..., Context]


def a_key(context: Context, **fields: Any) -> dict[str, str]:
    """Make a key; gives the header that carries it."""
    given = {"id": new_key_id(), "name": "test", "owner": "anna", **fields}
    keys = Keys.connect(context.runtime.settings)
    token = keys.create(KeyRecord.model_validate(given))
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def guarded(make_context: Make) -> Context:
    return make_context(api={"auth": True})


def submit(context: Context, headers: dict[str, str], **more: Any) -> Any:
    return context.client.post(
        "/v1/jobs", json={"source": OBJECT, **more}, headers=headers
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer fm_x"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic Zm06eA=="},
        {"X-Api-Key": "é" * 3},
        {"X-Api-Key": "x" * 10_000},
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/metrics", f"/v1/jobs/{'0' * 32}"])
def test_given_no_valid_key_then_401(
    guarded: Context, headers: dict[str, str], path: str
) -> None:
    answer = guarded.client.get(path, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_given_no_key_then_public_addresses_answer(guarded: Context, path: str) -> None:
    assert guarded.client.get(path).status_code == 200


def test_given_a_key_then_either_header_carries_it(guarded: Context) -> None:
    headers = a_key(guarded)
    token = headers["Authorization"].removeprefix("Bearer ")
    assert submit(guarded, headers).status_code == 202
    assert submit(guarded, {"X-Api-Key": token}).status_code == 202


def test_given_a_key_then_only_its_digest_is_stored(guarded: Context) -> None:
    token = a_key(guarded)["Authorization"].removeprefix("Bearer ")
    client = guarded.runtime.store._client
    prefix = guarded.runtime.settings.store.prefix
    stored = client.hgetall(f"{prefix}keys")
    assert list(stored) == [digest(token)]
    assert token not in str(stored)


def test_given_another_owners_job_then_404_everywhere(guarded: Context) -> None:
    anna, ben = a_key(guarded), a_key(guarded, owner="ben")
    path = f"/v1/jobs/{submit(guarded, anna).json['id']}"
    client = guarded.client
    assert client.get(path, headers=ben).status_code == 404
    assert client.post(f"{path}/cancel", headers=ben).status_code == 404
    assert client.post(f"{path}/retry", headers=ben).status_code == 404
    assert client.delete(path, headers=ben).status_code == 404
    assert client.get("/v1/jobs", headers=ben).json["jobs"] == []
    assert client.get(path, headers=anna).status_code == 200


def test_given_one_idempotency_key_then_owners_do_not_share_it(
    guarded: Context,
) -> None:
    anna, ben = a_key(guarded), a_key(guarded, owner="ben")
    ids = {
        submit(guarded, {**who, "Idempotency-Key": "k"}).json["id"]
        for who in (anna, ben)
    }
    assert len(ids) == 2


def test_given_a_missing_scope_then_403(guarded: Context) -> None:
    reader = a_key(guarded, scopes=["read"])
    assert submit(guarded, reader).status_code == 403
    assert guarded.client.get("/v1/jobs", headers=reader).status_code == 200
    assert guarded.client.get("/metrics", headers=reader).status_code == 403


def test_given_a_revoked_key_then_401(guarded: Context) -> None:
    headers = a_key(guarded, id="abc")
    assert Keys.connect(guarded.runtime.settings).revoke("abc")
    assert submit(guarded, headers).status_code == 401


def test_given_an_id_that_is_taken_then_no_second_key(guarded: Context) -> None:
    a_key(guarded, id="abc")
    with pytest.raises(ValueError, match="abc"):
        a_key(guarded, id="abc")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"buckets": ["b"]}, "/source/s3/bucket"),
        ({"prefixes": ["x/"]}, "/source/s3/key"),
    ],
)
def test_given_a_source_outside_the_key_then_403(
    guarded: Context, fields: dict[str, Any], pointer: str
) -> None:
    answer = submit(guarded, a_key(guarded, **fields))
    assert (answer.status_code, answer.json["pointer"]) == (403, pointer)


def test_given_a_rate_when_used_up_then_429_with_its_fields(guarded: Context) -> None:
    headers = a_key(guarded, requests_per_second=0.01, burst=2)
    answers = [guarded.client.get("/v1/jobs", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"requests";q=2;w=200'
    assert answers[0].headers["RateLimit"].startswith('"requests";r=1;t=')
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 100


def test_given_unfinished_jobs_up_to_the_cap_then_429(guarded: Context) -> None:
    headers = a_key(guarded, jobs_at_once=1)
    first = submit(guarded, headers)
    answer = submit(guarded, headers)
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, True)
    guarded.client.post(first.json["links"]["cancel"], headers=headers)
    assert submit(guarded, headers).status_code == 202


def test_given_a_daily_quota_then_only_new_jobs_count(guarded: Context) -> None:
    headers = a_key(guarded, jobs_per_day=2)
    bad = submit(guarded, headers, outputs=[{"kind": "film"}])
    same = [submit(guarded, {**headers, "Idempotency-Key": "k"}) for _ in range(2)]
    assert [bad.status_code, *(one.status_code for one in same)] == [422, 202, 202]
    assert submit(guarded, headers).status_code == 202
    answer = submit(guarded, headers)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 86_400


def test_given_a_size_limit_of_the_key_then_413(guarded: Context) -> None:
    import io

    headers = a_key(guarded, source_bytes=3)
    answer = guarded.client.post(
        "/v1/jobs", data={"file": (io.BytesIO(b"four"), "x")}, headers=headers
    )
    assert answer.status_code == 413
    assert guarded.stored() == []


def test_given_a_job_from_a_bucket_beyond_the_key_then_its_source_is_403(
    guarded: Context,
) -> None:
    job = submit(guarded, a_key(guarded)).json
    headers = a_key(guarded, buckets=["framemill"], prefixes=["public/"])
    answer = guarded.client.post(
        "/v1/jobs", json={"source": {"job": job["id"]}}, headers=headers
    )
    assert (answer.status_code, answer.json["pointer"]) == (403, "/source/job")


def test_given_a_store_that_may_not_write_then_a_keyed_request_is_503(
    guarded: Context,
) -> None:
    headers = a_key(guarded, requests_per_second=10)
    client = guarded.runtime.store._client
    client.config_set("maxmemory", 1)
    try:
        answer = guarded.client.get("/v1/jobs", headers=headers)
    finally:
        client.config_set("maxmemory", 0)
    assert (answer.status_code, answer.json["code"]) == (503, "store_unavailable")
