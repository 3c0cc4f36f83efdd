"""The contract of ``/v1/jobs``, over a real job store."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from common.errors import NotFound
from common.jobs.store import JobStore
from tests.api.conftest import OBJECT, Context, a_file, post_form

JOB_KEYS = {
    *("batch_id", "deduplicated_from"),
    *("id", "status", "progress", "created_at", "updated_at", "finished_at"),
    *("expires_at", "source", "media", "outputs", "error", "warnings", "metadata"),
    *("links", "waiting"),
}
OUTPUT_KEYS = {
    *("name", "kind", "status", "progress", "attempts", "warnings", "artifacts"),
    *("srcsets", "error"),
}
ARTIFACT_KEYS = {
    *("name", "url", "content_type", "bytes", "width", "height", "frames", "duration"),
    *("time", "sha256", "details", "copy_at"),
}


def test_given_a_file_when_posted_then_202_with_the_whole_document(
    context: Context,
) -> None:
    answer = post_form(context, {"file": a_file()})
    job = answer.json
    assert answer.status_code == 202
    assert answer.headers["Location"] == job["links"]["self"]
    assert set(job) == JOB_KEYS
    assert [set(output) for output in job["outputs"]] == [OUTPUT_KEYS] * 2
    assert [one["name"] for one in job["outputs"]] == ["thumbnail", "animation"]
    assert job["source"]["name"] == "clip.mp4"
    assert context.stored() == [f"in/{job['id']}/source"]
    assert [message.task for message in context.dispatcher.messages] == [
        f"{job['id']}:prepare"
    ]


def test_given_a_new_job_when_read_back_then_it_is_what_was_answered(
    context: Context,
) -> None:
    for job in (
        context.submit(metadata=[1.0]),
        post_form(context, {"file": a_file()}).json,
    ):
        assert context.client.get(f"/v1/jobs/{job['id']}").json == job


def test_given_fields_around_the_file_when_posted_then_they_count(
    context: Context,
) -> None:
    outputs = [{"kind": "thumbnail"}, {"kind": "thumbnail"}]
    parts = {
        "outputs": json.dumps(outputs),
        "file": a_file(),
        "metadata": (io.BytesIO(b'{"a":1}'), None, "application/json"),
    }
    job = post_form(context, parts).json
    assert [one["name"] for one in job["outputs"]] == ["thumbnail", "thumbnail-2"]
    assert job["metadata"] == {"a": 1}


def test_given_a_job_that_ended_when_shown_then_its_artifacts_have_links(
    context: Context,
) -> None:
    job_id = context.submit()["id"]
    context.make(job_id)
    answer = context.client.get(f"/v1/jobs/{job_id}")
    job = answer.json
    assert (job["status"], job["progress"]) == ("completed", 100)
    assert "Retry-After" not in answer.headers
    artifacts = [output["artifacts"][0] for output in job["outputs"]]
    assert set(artifacts[0]) == ARTIFACT_KEYS
    assert job["links"]["thumbnail"] == artifacts[0]["url"]
    assert job["links"]["gif"] == artifacts[1]["url"]
    assert job["media"]["container"] == "mp4"
    assert job["finished_at"].endswith("Z")


def test_given_widths_when_made_then_each_format_has_a_srcset_to_copy(
    context: Context,
) -> None:
    outputs = [{"kind": "thumbnail", "widths": [320, 640]}, {"kind": "thumbnail"}]
    job_id = context.submit(outputs=outputs)["id"]
    context.make(job_id, width=320, time=1.5)
    several, one = context.client.get(f"/v1/jobs/{job_id}").json["outputs"]
    assert several["srcsets"] == [
        {
            "content_type": "image/gif",
            "time": 1.5,
            "srcset": f"{several['artifacts'][0]['url']} 320w",
        }
    ]
    assert one["srcsets"] == []


@pytest.mark.parametrize(
    ("words", "pointer", "reason"),
    [
        ({"widths": [320, 320]}, "", "widths has 320 twice"),
        ({"formats": ["webp", "jpeg", "webp"]}, "", "formats has 'webp' twice"),
        ({"formats": ["webp"], "format": "png"}, "", "only one of format and formats"),
        ({"widths": [320], "width": 640}, "", "only one of widths and width"),
        ({"widths": [320], "fit": "cover"}, "", "needs both width and height"),
        ({"widths": []}, "/widths", "at least 1 item"),
        ({"widths": [1]}, "/widths/0", "greater than or equal to 2"),
        ({"formats": ["gif"]}, "/formats/0", "'jpeg', 'png', 'webp' or 'avif'"),
        ({"kind": "contact_sheet", "widths": [400], "width": 500}, "", "only one of"),
        ({"kind": "contact_sheet", "widths": [100]}, "/widths/0", "equal to 320"),
    ],
)
def test_given_sizes_that_contradict_when_posted_then_the_field_is_named(
    context: Context, words: dict[str, Any], pointer: str, reason: str
) -> None:
    body = {"source": OBJECT, "outputs": [{"kind": "thumbnail"} | words]}
    answer = context.client.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert reason in answer.json["detail"]
    assert answer.json["pointer"].startswith("/outputs/0")
    assert answer.json["pointer"].endswith(pointer)


def test_given_a_job_under_way_when_shown_then_retry_after_and_304(
    context: Context,
) -> None:
    job_id = context.submit()["id"]
    first = context.client.get(f"/v1/jobs/{job_id}")
    tag = first.headers["ETag"]
    assert not tag.startswith("W/")
    assert int(first.headers["Retry-After"]) >= 1
    again = context.client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag})
    assert (again.status_code, again.get_data()) == (304, b"")
    context.make(job_id)
    changed = context.client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_given_a_job_that_has_not_changed_when_polled_then_its_version_alone_is_read(
    context: Context,
) -> None:
    job_id = context.submit()["id"]
    context.make(job_id)
    shown = context.client.get(f"/v1/jobs/{job_id}")
    headers = {"If-None-Match": shown.headers["ETag"]}
    before = store_calls(context)
    again = context.client.get(f"/v1/jobs/{job_id}", headers=headers)
    assert again.status_code == 304
    assert store_calls(context) - before == {"hmget": 1}
    for name in ("ETag", "Cache-Control", "Retry-After", "Content-Security-Policy"):
        assert again.headers.get(name) == shown.headers.get(name)


def store_calls(context: Context) -> Counter[str]:
    """Count the commands that the store's server has run, by name."""
    found: Any = context.runtime.store._client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): one["calls"] for name, one in found.items()}
    return Counter(calls) - Counter(info=calls.get("info", 0))


def test_given_a_tag_when_links_would_differ_then_the_job_is_shown(
    context: Context,
) -> None:
    path = f"/v1/jobs/{context.submit()['id']}"
    headers = {"If-None-Match": context.client.get(path).headers["ETag"]}
    other = context.client.get(path, headers=headers, base_url="http://127.0.0.1:81")
    assert other.status_code == 200
    assert other.json["links"]["self"].startswith("http://127.0.0.1:81/")


@pytest.mark.parametrize("tag", ["*", '"x"'])
def test_given_a_tag_when_the_job_is_gone_or_another_owners_then_404(
    context: Context, tag: str
) -> None:
    job_id = context.submit()["id"]
    with pytest.raises(NotFound):
        context.runtime.jobs.version(job_id, "another")
    context.client.delete(f"/v1/jobs/{job_id}")
    gone = context.client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag})
    assert gone.status_code == 404


def test_given_a_wait_when_the_job_ends_within_it_then_200(context: Context) -> None:
    job_id = context.submit()["id"]
    worker = threading.Timer(0.2, context.make, [job_id])
    worker.start()
    answer = context.client.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=20"})
    worker.join()
    assert answer.status_code == 200
    assert answer.json["status"] == "completed"
    assert answer.headers["Preference-Applied"] == "wait=20"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_given_a_wait_when_it_passes_then_202(context: Context, method: str) -> None:
    headers = {"Prefer": "wait=1"}
    path = f"/v1/jobs/{context.submit()['id']}" if method == "GET" else "/v1/jobs"
    body = {"source": OBJECT} if method == "POST" else None
    answer = context.client.open(path, method=method, json=body, headers=headers)
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_given_all_places_taken_when_waiting_then_202_at_once(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, leave = threading.Event(), threading.Event()

    def wait(store: JobStore, one: str, seconds: float) -> Any:
        inside.set()
        assert leave.wait(60)
        return store.get(one)

    monkeypatch.setattr(JobStore, "wait", wait)
    context = make_context(api={"threads": 4})
    job_id = context.submit()["id"]
    ask = {"headers": {"Prefer": "wait=60"}}
    first = threading.Thread(
        target=context.client.application.test_client().get,
        args=[f"/v1/jobs/{job_id}"],
        kwargs=ask,
    )
    first.start()
    assert inside.wait(60)
    answer = context.client.get(f"/v1/jobs/{job_id}", **ask)
    leave.set()
    first.join(60)
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


def test_given_metadata_when_shown_then_it_is_as_sent(context: Context) -> None:
    sent = {
        "big": 10**40,
        "float": 0.1,
        "whole": 1.0,
        "text": 'é\u0000"\n\U0001f600',
        "none": None,
        "list": [[], {}],
    }
    job = context.submit(metadata=sent)
    shown = context.client.get(f"/v1/jobs/{job['id']}").json["metadata"]
    assert shown == sent
    assert isinstance(shown["whole"], float)


def test_given_4_kib_of_metadata_when_posted_then_taken_and_one_more_refused(
    context: Context,
) -> None:
    context.submit(metadata="x" * 4094)
    answer = context.client.post(
        "/v1/jobs", json={"source": OBJECT, "metadata": "x" * 4095}
    )
    assert (answer.status_code, answer.json["pointer"]) == (422, "/metadata")


def test_given_a_key_when_posted_again_then_the_same_job_and_one_blob(
    context: Context,
) -> None:
    headers = {"Idempotency-Key": "k"}
    first = post_form(context, {"file": a_file(), "metadata": "1"}, headers).json
    again = post_form(context, {"metadata": "1", "file": a_file()}, headers)
    assert (again.status_code, again.json["id"]) == (202, first["id"])
    assert context.stored() == [f"in/{first['id']}/source"]


@pytest.mark.parametrize("change", ["file", "fields"])
def test_given_a_key_when_posted_with_another_body_then_422_and_one_blob(
    context: Context, change: str
) -> None:
    headers = {"Idempotency-Key": "k"}
    post_form(context, {"file": a_file()}, headers)
    other: dict[str, Any] = {"file": a_file(b"other" if change == "file" else b"bytes")}
    if change == "fields":
        other["metadata"] = "1"
    answer = post_form(context, other, headers)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_mismatch")
    assert len(context.stored()) == 1


def test_given_one_key_when_posted_by_many_at_once_then_one_job(
    context: Context,
) -> None:
    ids: list[str] = []

    def post() -> None:
        client = context.client.application.test_client()
        answer = client.post(
            "/v1/jobs", json={"source": OBJECT}, headers={"Idempotency-Key": "k"}
        )
        ids.append(answer.json["id"])

    threads = [threading.Thread(target=post) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ids) == 100
    assert len(set(ids)) == 1


def test_given_jobs_when_listed_then_pages_go_back_in_time(context: Context) -> None:
    ids = [context.submit()["id"] for _ in range(3)]
    context.client.post(f"/v1/jobs/{ids[0]}/cancel")
    first = context.client.get("/v1/jobs?limit=2").json
    second = context.client.get(f"/v1/jobs?limit=2&cursor={first['next']}").json
    assert set(first) == {"jobs", "next"}
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ids[::-1]
    assert second["next"] is None
    cancelled = context.client.get("/v1/jobs?status=cancelled").json["jobs"]
    assert [job["id"] for job in cancelled] == [ids[0]]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=x", "limit=1&limit=2", "limit=%00"),
        *("status=done", "status=", "cursor=!", "page=2"),
    ],
)
def test_given_a_bad_query_when_listed_then_422(context: Context, query: str) -> None:
    answer = context.client.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    assert answer.json["pointer"] == "/" + query.partition("=")[0]


def test_given_a_job_when_cancelled_retried_and_deleted_then_states_follow(
    context: Context,
) -> None:
    links = context.submit()["links"]
    assert context.client.post(links["retry"]).status_code == 409
    cancelled = context.client.post(links["cancel"])
    assert (cancelled.status_code, cancelled.json["status"]) == (202, "cancelled")
    assert context.client.post(links["cancel"]).status_code == 409
    retried = context.client.post(links["retry"])
    assert (retried.status_code, retried.json["status"]) == (202, "accepted")
    assert context.client.delete(links["self"]).status_code == 204
    assert context.client.get(links["self"]).status_code == 404
    assert context.client.delete(links["self"]).status_code == 404


@pytest.mark.parametrize(
    "job_id", ["0" * 32, "x", "0" * 31, "%00", "..%2f", "%0d%0aX:1", "0" * 5000, "é"]
)
@pytest.mark.parametrize(
    ("method", "tail"),
    [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry")],
)
def test_given_an_unknown_id_when_used_then_404(
    context: Context, job_id: str, method: str, tail: str
) -> None:
    answer = context.client.open(f"/v1/jobs/{job_id}{tail}", method=method)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_given_a_wrong_method_when_used_then_405_with_allow(context: Context) -> None:
    answer = context.client.put("/v1/jobs")
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert answer.json["hint"] == "allowed: GET, HEAD, OPTIONS, POST"


def test_given_many_faults_in_a_query_then_all_are_listed(context: Context) -> None:
    query = "limit=x&foo=1&status=done&cursor=a&cursor=b"
    answer = context.client.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    faults = {one["pointer"]: one for one in answer.json["faults"]}
    assert list(faults) == ["/limit", "/foo", "/status", "/cursor"]
    assert faults["/limit"]["hint"] == "a whole number from 1 to 200"
    assert faults["/foo"]["hint"] == "it takes status, limit, cursor, batch, search"


def test_given_a_job_when_asked_by_head_then_the_headers_of_get(
    context: Context,
) -> None:
    path = f"/v1/jobs/{context.submit()['id']}"
    head, get = context.client.head(path), context.client.get(path)
    assert (head.status_code, head.get_data()) == (200, b"")
    assert head.headers["ETag"] == get.headers["ETag"]
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_given_full_queues_when_posted_then_503(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(limits={"queued_jobs": 1})
    context.submit()
    answer = post_form(context, {"file": a_file()})
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert context.stored() == []


def test_given_a_task_that_has_waited_too_long_when_posted_then_503(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(limits={"queue_hours": 1e-6})
    context.submit()
    time.sleep(0.05)
    answer = post_form(context, {"file": a_file()})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert "FRAMEMILL_LIMITS_QUEUE_HOURS" in answer.json["detail"]


@pytest.mark.parametrize("text", ["scrubber", '"scrubber"'])
def test_given_a_form_when_a_preset_is_named_then_quotation_marks_may_be_left_out(
    context: Context, text: str
) -> None:
    form = {"file": (io.BytesIO(b"film"), "film.mp4"), "preset": text}

    answer = context.client.post("/v1/jobs", data=form)

    assert answer.status_code == 202, answer.json
    names = [output["name"] for output in answer.json["outputs"]]
    assert names == ["poster", "storyboard"]


def post_file(
    context: Context, job: object, headers: dict[str, str] | None = None
) -> TestResponse:
    parts = {"file": a_file(), "job": json.dumps(job)}
    return context.client.post("/v1/jobs/file", data=parts, headers=headers or {})


def test_given_a_form_of_two_parts_then_its_job_is_what_is_made(
    context: Context,
) -> None:
    plain = context.client.post("/v1/jobs/file", data={"file": a_file()})
    told = post_file(context, {"outputs": [{"kind": "preview"}], "metadata": [None]})

    assert plain.status_code == told.status_code == 202
    assert [one["kind"] for one in plain.json["outputs"]] == ["thumbnail", "animation"]
    assert [one["kind"] for one in told.json["outputs"]] == ["preview"]
    assert told.json["metadata"] == [None]
    assert told.json["source"]["name"] == "clip.mp4"


def test_given_a_form_of_two_parts_and_a_key_then_a_repeat_is_the_same_job(
    context: Context,
) -> None:
    key = {"Idempotency-Key": "k"}
    first = post_file(context, {"metadata": 1}, key)
    again = post_file(context, {"metadata": 1}, key)
    other = post_file(context, {"metadata": 2}, key)

    assert again.json["id"] == first.json["id"]
    assert other.status_code == 422
    assert len(context.stored()) == 1


@pytest.mark.parametrize(
    ("job", "pointer"),
    [
        ({"outputs": [{"kind": "film"}]}, "/job/outputs/0/kind"),
        ({"source": {"url": "https://example.org/a"}}, "/job/source"),
        ({"preset": "none of ours"}, "/job/preset"),
        (7, "/job"),
    ],
)
def test_given_a_fault_in_the_job_of_a_form_then_it_is_named_and_no_file_is_kept(
    context: Context, job: object, pointer: str
) -> None:
    answer = post_file(context, job)

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json["faults"]] == [pointer]
    assert context.stored() == []


def test_given_another_body_than_the_form_then_the_address_says_what_it_takes(
    context: Context,
) -> None:
    flat = {"file": a_file(), "outputs": "[]"}
    answers = (
        context.client.post("/v1/jobs/file", data=flat),
        context.client.post("/v1/jobs/file", json={"source": OBJECT}),
        post_form(context, {"file": a_file(), "job": "{}"}),
    )

    assert [one.status_code for one in answers] == [422, 415, 422]
    assert answers[0].json["hint"] == "its parts: file, job"
    assert "multipart/form-data" in answers[1].json["hint"]
    assert context.stored() == []


def test_given_the_address_of_files_then_no_other_method_is_one_of_a_job(
    context: Context,
) -> None:
    told = context.client.options("/v1/jobs/file").headers["Allow"]

    assert set(told.split(", ")) == {"POST", "OPTIONS"}
    assert context.client.get("/v1/jobs/file").status_code == 405


def test_given_words_then_only_jobs_with_such_names_are_listed(
    context: Context,
) -> None:
    ids = [
        post_form(context, {"file": a_file(name=name)}).json["id"]
        for name in ("Summer.mp4", "Winter.mp4")
    ]
    listed = context.client.get("/v1/jobs?search=summer&status=accepted").json
    assert [one["id"] for one in listed["jobs"]] == [ids[0]]
    assert listed["next"] is None
    listed = context.client.get(f"/v1/jobs?search={ids[1]}").json
    assert [one["id"] for one in listed["jobs"]] == [ids[1]]


@pytest.mark.parametrize("text", ["", "%20", "x" * 201])
def test_given_no_words_to_search_for_then_422(context: Context, text: str) -> None:
    answer = context.client.get(f"/v1/jobs?search={text}")
    assert (answer.status_code, answer.json["pointer"]) == (422, "/search")
