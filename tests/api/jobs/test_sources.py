"""Sources that a JSON body can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.uploads import NewUpload, Uploads
from tests.api.conftest import OBJECT, Context, a_file, post_form

Make = Callable[..., Context]


def post(context: Context, **source: Any) -> Any:
    return context.client.post("/v1/jobs", json={"source": source})


def test_given_a_job_with_an_upload_when_named_then_both_have_its_bytes(
    context: Context,
) -> None:
    first = post_form(context, {"file": a_file()}).json
    second = post(context, job=first["id"])
    assert second.status_code == 202
    assert second.json["source"] == first["source"]
    context.client.delete(first["links"]["self"])
    assert context.stored() == [f"in/{first['id']}/source"]


def test_given_a_repeat_whose_source_is_gone_then_its_job_all_the_same(
    context: Context,
) -> None:
    first = post_form(context, {"file": a_file()}).json
    key = {"Idempotency-Key": "again"}
    requested = {"source": {"job": first["id"]}}
    made = context.client.post("/v1/jobs", json=requested, headers=key)
    context.client.delete(first["links"]["self"])
    again = context.client.post("/v1/jobs", json=requested, headers=key)
    assert (again.status_code, again.json["id"]) == (202, made.json["id"])
    other = context.client.post(
        "/v1/jobs", json=requested | {"metadata": 1}, headers=key
    )
    assert (other.status_code, other.json["code"]) == (422, "idempotency_mismatch")
    assert post(context, job=first["id"]).status_code == 422


def test_given_an_upload_when_named_then_its_bytes_are_the_jobs(
    context: Context,
) -> None:
    runtime = context.runtime
    uploads = Uploads.connect(runtime.settings, runtime.blobs)
    upload = uploads.create(NewUpload("", "single", 3, "video/mp4", name="clip.mp4"))
    runtime.blobs.put_part(upload.key, upload.ref or "", 1, b"abc")
    uploads.finish(upload)
    answer = post(context, upload=upload.id)
    assert (answer.status_code, answer.json["source"]["name"]) == (202, "clip.mp4")
    assert uploads.get(upload.id, "").used


def test_given_an_unfinished_upload_when_named_then_409(context: Context) -> None:
    runtime = context.runtime
    uploads = Uploads.connect(runtime.settings, runtime.blobs)
    upload = uploads.create(NewUpload("", "single", 3, "video/mp4"))
    assert post(context, upload=upload.id).status_code == 409


@pytest.mark.parametrize("kind", ["job", "upload"])
@pytest.mark.parametrize("named", ["0" * 32, "x"])
def test_given_an_unknown_id_when_named_then_422(
    context: Context, kind: str, named: str
) -> None:
    answer = post(context, **{kind: named})
    assert (answer.status_code, answer.json["pointer"]) == (422, f"/source/{kind}")


@pytest.mark.parametrize(
    "url",
    [
        *("http://a.example/b", "ftp://a.example/b", "https://", "//a.example", "a"),
        *("https://u:p@a.example/", "https://a.example:99999/", "https://[::1"),
        *("https://a.example/ b", "https://a.example/\u00e9", "https://a.example/\n"),
        *("file:///etc/passwd", "javascript:1", "https://a.example:0/"),
    ],
)
def test_given_a_url_of_bad_form_when_named_then_422(
    make_context: Make, url: str
) -> None:
    answer = post(make_context(source={"urls": True}), url=url)
    assert (answer.status_code, answer.json["pointer"]) == (422, "/source/url")


def test_given_urls_are_allowed_when_named_then_202(make_context: Make) -> None:
    context = make_context(source={"urls": True})
    answer = post(context, url="https://a.example/films/my%20clip.mp4?x=1")
    assert answer.status_code == 202
    assert answer.json["source"]["kind"] == "url"
    assert answer.json["source"]["name"] == "my clip.mp4"


def test_given_two_sources_when_named_then_422(context: Context) -> None:
    answer = post(context, job="0" * 32, upload="0" * 32)
    assert (answer.status_code, answer.json["pointer"]) == (422, "/source")


def test_an_object_keeps_the_etag_and_the_version_that_were_named(
    context: Context,
) -> None:
    named = {"s3": OBJECT["s3"] | {"etag": '"abc-3"', "version": "v.1"}}
    record = context.runtime.store.get(post(context, **named).json["id"])
    assert record is not None
    assert (record.source.etag, record.source.version) == ("abc-3", "v.1")
    refused = post(context, s3=OBJECT["s3"] | {"etag": 'W/"abc"'})
    assert refused.status_code == 422
    assert refused.json["pointer"] == "/source/s3/etag"
