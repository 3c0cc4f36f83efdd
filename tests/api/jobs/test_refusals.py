"""What ``POST /v1/jobs`` refuses, and that a refusal leaves nothing behind."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import pytest
from gunicorn.http.errors import InvalidChunkSize

from common.errors import StoreUnavailable
from common.jobs.store import JobStore
from tests.api.conftest import OBJECT, Context, a_file, post_form
from tests.api.context import BrokenBody

PROBLEM_KEYS = {
    *("type", "code", "title", "status", "detail", "pointer", "hint", "faults"),
    "request_id",
}


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b"\xff", 400, None),
        (b'{"source":NaN}', 400, None),
        (b'{"metadata":1e999}', 400, None),
        (b'{"metadata":' + b"9" * 5000 + b"}", 400, None),
        (b"[" * 100_000, 422, ""),
        (b"[" * 40 + b"]" * 40, 422, ""),
        (b"[]", 422, ""),
        (b"{}", 422, "/source"),
        (b'{"source":{}}', 422, "/source"),
        (b'{"source":{"url":"https://a.example/b"}}', 422, "/source/url"),
        (b'{"source":{"s3":null,"job":null}}', 422, "/source"),
        (b'{"source":{"s3":{"bucket":"framemill"}}}', 422, "/source/s3/key"),
        (b'{"source":{"s3":{"bucket":"other","key":"k"}}}', 422, "/source/s3/bucket"),
        (b'{"source":{"s3":{"bucket":"framemill","key":"a\\u0000"}}}', 422, None),
        (b'{"source":{"s3":{"bucket":"framemill","key":"../a"}}}', 422, None),
        (b'{"metadata":"\\ud800"}', 422, "/metadata"),
    ],
)
def test_given_a_bad_body_when_posted_then_a_problem(
    context: Context, body: bytes, status: int, pointer: str | None
) -> None:
    answer = context.client.post("/v1/jobs", data=body, content_type="application/json")
    assert (answer.status_code, answer.mimetype) == (
        status,
        "application/problem+json",
    )
    assert set(answer.json) == PROBLEM_KEYS
    if pointer is not None:
        assert answer.json["pointer"] == pointer


# Outputs that were checked once are known by their text: these differ by little.
def test_given_known_outputs_when_others_are_posted_then_they_are_checked_anew(
    context: Context,
) -> None:
    def post(width: Any) -> Any:
        outputs = [{"kind": "thumbnail", "width": width}]
        return context.client.post(
            "/v1/jobs", json={"source": OBJECT, "outputs": outputs}
        )

    def width_of(answer: Any) -> Any:
        job = context.runtime.store.get(answer.json["id"])
        return job and job.outputs[0].spec["width"]

    refused = [post(16), *map(post, ("16", 16.0, True, 1))][1:]
    accepted = [post(width) for width in (16, 17, 16)]

    assert {one.json["pointer"] for one in refused} == {"/outputs/0/width"}
    assert [width_of(one) for one in accepted] == [16, 17, 16]


def test_given_a_text_of_another_form_when_posted_then_its_form_is_told_once(
    context: Context,
) -> None:
    outputs = [{"kind": "thumbnail", "background": "blue"}]

    answer = context.client.post(
        "/v1/jobs", json={"source": OBJECT, "outputs": outputs}
    )

    assert answer.json["pointer"] == "/outputs/0/background"
    assert "form" in answer.json["detail"]
    assert "^" not in answer.json["detail"]
    assert answer.json["hint"] == "# and six hexadecimal digits, such as #808080"


@pytest.mark.parametrize("kind", ["preview", "contact_sheet"])
@pytest.mark.parametrize(
    "ends",
    [
        {"exclude_start": "60%", "exclude_end": "40%"},
        {"exclude_start": "95%"},
        {"exclude_start": 0, "exclude_end": "100%"},
    ],
)
def test_given_shares_that_exclude_all_when_posted_then_a_problem_names_them(
    context: Context, kind: str, ends: dict[str, Any]
) -> None:
    outputs = [{"kind": "thumbnail"}, {"kind": kind, **ends}]

    answer = context.client.post(
        "/v1/jobs", json={"source": OBJECT, "outputs": outputs}
    )

    assert (answer.status_code, answer.json["pointer"]) == (422, "/outputs/1")
    assert "exclude_start" in answer.json["detail"]
    assert "under 100%" in answer.json["detail"]


def test_given_shares_that_leave_something_when_posted_then_it_is_accepted(
    context: Context,
) -> None:
    ends = {"exclude_start": "60%", "exclude_end": "39.9%"}
    outputs = [{"kind": "preview", **ends}]

    answer = context.client.post(
        "/v1/jobs", json={"source": OBJECT, "outputs": outputs}
    )

    assert answer.status_code == 202


def test_given_many_faults_when_posted_then_all_are_listed(context: Context) -> None:
    outputs = [
        {"kind": "thumbnail", "time": False, "widht": 5},
        {"kind": "film"},
        {"kind": "animation", "fps": 99, "name": "A"},
    ]
    answer = context.client.post(
        "/v1/jobs", json={"source": OBJECT, "outputs": outputs, "colour": 1}
    )
    faults = {fault["pointer"]: fault for fault in answer.json["faults"]}
    assert answer.status_code == 422
    assert set(faults) == {
        "/outputs/0/time",
        "/outputs/0/widht",
        "/outputs/1/kind",
        "/outputs/2/fps",
        "/outputs/2/name",
        "/colour",
    }
    assert faults["/outputs/0/widht"]["hint"] == "did you mean 'width'?"
    assert faults["/outputs/2/fps"]["hint"] == "at most 30.0"


def test_given_many_faults_beyond_the_schema_then_all_are_listed(
    context: Context,
) -> None:
    body = {
        "source": OBJECT,
        "preset": "none",
        "metadata": "x" * 5000,
        "notify": [
            {"type": "webhook", "url": "http://example.org/a"},
            {"type": "email", "to": "ann@example.org"},
        ],
        "destination": {"s3": {"bucket": "results"}},
    }
    answer = context.client.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    pointers = [fault["pointer"] for fault in answer.json["faults"]]
    assert pointers == [
        "/metadata",
        "/preset",
        "/notify/0/url",
        "/notify/1/to",
        "/destination/s3",
    ]


def test_given_no_outputs_when_posted_then_the_words_are_a_callers(
    context: Context,
) -> None:
    answer = post_form(context, {"file": a_file(), "outputs": "[]"})
    assert answer.status_code == 422
    assert answer.json["detail"] == "'outputs' must have at least 1 item, not 0"


def test_given_a_name_twice_when_posted_then_422(context: Context) -> None:
    outputs = [{"kind": "thumbnail", "name": "a"}] * 2
    answer = context.client.post(
        "/v1/jobs", json={"source": OBJECT, "outputs": outputs}
    )
    assert (answer.status_code, answer.json["pointer"]) == (422, "/outputs/1/name")


def test_given_another_jobs_key_when_posted_as_source_then_422(
    context: Context,
) -> None:
    source = {"s3": {"bucket": "framemill", "key": f"in/{'a' * 32}/source"}}
    answer = context.client.post("/v1/jobs", json={"source": source})
    assert (answer.status_code, answer.json["pointer"]) == (422, "/source/s3/key")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "", "x"])
def test_given_another_type_when_posted_then_415(context: Context, kind: str) -> None:
    answer = context.client.post("/v1/jobs", data=b"{}", content_type=kind)
    assert answer.status_code == 415


def test_given_a_large_json_body_when_posted_then_413(context: Context) -> None:
    answer = context.client.post(
        "/v1/jobs", data=b" " * (256 * 1024 + 1), content_type="application/json"
    )
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def test_given_a_large_file_when_posted_then_413_and_nothing_is_stored(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(limits={"source_bytes": 10})
    answer = post_form(context, {"file": a_file(b"x" * 11)})
    assert answer.status_code == 413
    assert "FRAMEMILL_LIMITS_SOURCE_BYTES" in answer.json["hint"]
    assert context.stored() == []


@pytest.mark.parametrize(
    ("parts", "status", "pointer"),
    [
        ({}, 415, None),
        ({"outputs": (io.BytesIO(b"[]"), "x")}, 422, "/file"),
        ({"file": None, "film": "1"}, 422, "/film"),
        ({"file": None, "outputs": "{"}, 400, None),
        ({"file": None, "outputs": '[{"kind":"x"}]'}, 422, "/outputs/0/kind"),
        ({"file": None, "outputs": "[" * 40 + "]" * 40}, 422, "/outputs"),
    ],
)
def test_given_bad_parts_when_posted_then_refused_and_no_blob_is_left(
    context: Context, parts: dict[str, Any], status: int, pointer: str | None
) -> None:
    ready = {name: value or a_file() for name, value in parts.items()}
    answer = post_form(context, ready)
    assert answer.status_code == status, answer.json
    if pointer is not None:
        assert answer.json["pointer"] == pointer
    assert context.stored() == []


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_given_a_bad_idempotency_key_when_posted_then_422(
    context: Context, key: str
) -> None:
    answer = context.client.post(
        "/v1/jobs", json={"source": OBJECT}, headers={"Idempotency-Key": key}
    )
    assert (answer.status_code, answer.json["pointer"]) == (422, "/Idempotency-Key")


def test_given_the_store_fails_when_a_file_is_posted_then_503_and_the_blob_waits(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(JobStore, "accept", refuse)
    answer = post_form(context, {"file": a_file()})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    # The job may have been accepted unheard; cleanup takes a blob without a job.
    (stored,) = context.stored()
    store = context.runtime.store
    key = f"{store.settings.store.prefix}chores"
    reserved = store._client.zscore(key, f"blob:{stored}")
    assert reserved == pytest.approx((time.time() + 900) * 1000, abs=60_000)


@pytest.mark.parametrize("error", [OSError("gone"), InvalidChunkSize(b"zz")])
@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data; boundary=x"]
)
def test_given_a_broken_body_when_posted_then_400(
    context: Context, error: Exception, kind: str
) -> None:
    environ = {"wsgi.input": BrokenBody(error), "wsgi.input_terminated": True}
    answer = context.client.post(
        "/v1/jobs", content_type=kind, environ_overrides=environ
    )
    assert answer.status_code == 400
    assert context.stored() == []


def test_given_a_body_that_ends_early_when_posted_then_400(context: Context) -> None:
    answer = context.client.post(
        "/v1/jobs",
        data=b"{}",
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "10"},
    )
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "key",
    [
        "in/{id}/source",
        "./out/{id}/a",
        "in//{id}/source",
        "jobs/{id}.json",
        "keys/0123456789ab.json",
    ],
)
def test_given_a_key_that_leads_to_another_job_then_422(
    context: Context, key: str
) -> None:
    named = {"s3": {"bucket": "framemill", "key": key.replace("{id}", "0" * 32)}}
    answer = context.client.post("/v1/jobs", json={"source": named})
    assert (answer.status_code, answer.json["pointer"]) == (422, "/source/s3/key")
    assert "another job" in answer.json["detail"]
