"""Where a request may have its results copied, and how the job shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from common.model import Destination, ObjectName
from common.storage.names import is_plain
from tests.api.conftest import OBJECT, Context, a_file, post_form
from tests.api.http.test_auth import a_key

Make = Callable[..., Context]
S3 = {"endpoint_url": "http://127.0.0.1:1", "max_attempts": 1}


@pytest.fixture
def buckets(make_context: Make, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A service over S3 (which no test here asks) with keys."""
    return make_context(
        api={"auth": True}, blobs={"backend": "s3", "bucket": "framemill"}, s3=S3
    )


def ask(context: Context, headers: dict[str, str], **s3: Any) -> Any:
    target = {"bucket": "results", "prefix": "shop/films", **s3}
    body = {"source": OBJECT, "destination": {"s3": target}}
    return context.client.post("/v1/jobs", json=body, headers=headers)


@pytest.mark.parametrize(
    "allowed", ["results", "results/", "results/shop/", "results/shop/films/"]
)
def test_given_an_allowed_place_then_the_job_keeps_it(
    buckets: Context, allowed: str
) -> None:
    headers = a_key(buckets, destinations=[allowed])
    answer = ask(buckets, headers, prefix="shop/films/", acl="public-read")
    assert answer.status_code == 202, answer.json
    job = buckets.runtime.store.get(answer.json["id"])
    assert job is not None
    assert job.options.destination == Destination(
        bucket="results", prefix="shop/films", acl="public-read"
    )


@pytest.mark.parametrize(
    "allowed", [[], ["other"], ["result"], ["results/shops/"], ["results/shop/f/"]]
)
def test_given_a_place_outside_the_key_then_403(
    buckets: Context, allowed: list[str]
) -> None:
    answer = ask(buckets, a_key(buckets, destinations=allowed))
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert answer.json["pointer"] == "/destination/s3"


@pytest.mark.parametrize("prefix", ["in", "out/", "out/x", "./out/x", ".//in"])
def test_given_our_own_folders_then_422(buckets: Context, prefix: str) -> None:
    headers = a_key(buckets, destinations=["framemill"])
    answer = ask(buckets, headers, bucket="framemill", prefix=prefix)
    assert answer.json["pointer"] == "/destination/s3/prefix"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bucket", "A"),
        ("prefix", "/x"),
        ("prefix", "a/../b"),
        ("cache_control", "a\r\nb"),
        ("acl", "public-read-write"),
        ("tags", {"a": "ü"}),
        ("tags", {f"t{number}": "" for number in range(11)}),
        ("storage", "x"),
    ],
)
def test_given_what_no_bucket_takes_then_422(
    buckets: Context, field: str, value: Any
) -> None:
    answer = ask(buckets, a_key(buckets, destinations=["results"]), **{field: value})
    assert answer.status_code == 422
    assert answer.json["pointer"].startswith(f"/destination/s3/{field}")


@pytest.mark.parametrize("prefix", ["a//b", "./x", "a/./b"])
def test_given_a_prefix_that_the_storage_cannot_hold_then_422(
    buckets: Context, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    requested = []

    def refuse(key: str, *, bucket: str | None = None) -> bool:
        requested.append((bucket, key))
        return is_plain(key)

    monkeypatch.setattr(buckets.runtime.blobs, "admits", refuse)
    headers = a_key(buckets, destinations=["results"])

    answer = ask(buckets, headers, prefix=prefix)

    assert answer.status_code == 422
    assert requested[-1] == ("results", f"{prefix}/x")
    assert answer.json["pointer"] == "/destination/s3/prefix"
    said = json.dumps(answer.json)
    assert f"the storage cannot hold keys that begin with {prefix!r}" in said
    assert "segments between slashes must not be empty or '.'" in said
    assert ask(buckets, headers, prefix="a/b").status_code == 202


def test_given_a_folder_as_storage_then_422(make_context: Make) -> None:
    context = make_context()
    answer = ask(context, {})
    assert (answer.status_code, answer.json["pointer"]) == (422, "/destination/s3")


def test_given_no_keys_then_the_setting_allows(make_context: Make) -> None:
    context = make_context(
        blobs={"backend": "s3", "destinations": ["results/shop/"]}, s3=S3
    )
    assert ask(context, {}).status_code == 202
    assert ask(context, {}, prefix="other").status_code == 403


def test_given_a_form_then_a_part_names_the_destination(make_context: Make) -> None:
    context = make_context()
    part = json.dumps({"s3": {"bucket": "results"}})
    answer = post_form(context, {"file": a_file(), "destination": part})
    assert (answer.status_code, answer.json["pointer"]) == (422, "/destination/s3")
    assert context.stored() == []


def test_given_an_upload_then_its_job_is_judged_in_advance(buckets: Context) -> None:
    headers = a_key(buckets)
    job = {"destination": {"s3": {"bucket": "results"}}}
    answer = buckets.client.post(
        "/v1/uploads", json={"size": 3, "job": job}, headers=headers
    )
    assert (answer.status_code, answer.json["pointer"]) == (403, "/job/destination/s3")


def test_given_a_copied_file_then_the_document_names_bucket_and_key(
    context: Context,
) -> None:
    job = context.submit(outputs=[{"kind": "thumbnail"}])
    context.make(job["id"])
    shown = context.client.get(f"/v1/jobs/{job['id']}").json
    assert shown["outputs"][0]["artifacts"][0]["copy_at"] is None

    other = context.submit(outputs=[{"kind": "thumbnail"}])
    record = context.runtime.store.get(other["id"])
    assert record is not None
    context.make(other["id"], copy_at=ObjectName(bucket="b", key="p/t/t.jpg"))
    shown = context.client.get(f"/v1/jobs/{other['id']}").json
    copy_at = shown["outputs"][0]["artifacts"][0]["copy_at"]
    assert copy_at == {"bucket": "b", "key": "p/t/t.jpg"}
