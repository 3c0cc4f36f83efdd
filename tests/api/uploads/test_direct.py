"""Direct uploads by grants, and the sessions behind all uploads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from common.storage.port import PART_BYTES
from common.uploads import NewUpload, Uploads
from tests.api.uploads.context import Context, await_true


def announce(context: Context, **requested: Any) -> Any:
    answer = requests.post(
        f"{context.server.url}/v1/uploads", json=requested, timeout=60
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def put(permission: dict[str, Any], data: bytes) -> requests.Response:
    return requests.put(
        permission["url"], data=data, headers=permission["headers"], timeout=60
    )


@pytest.mark.needs("curl")
def test_curl_by_a_single_put_then_complete_starts_the_job(
    context: Context, tmp_path: Path
) -> None:
    data = os.urandom(100_000)
    (tmp_path / "clip").write_bytes(data)
    requested = {"filename": "clip.mp4", "content_type": "video/mp4", "job": {}}
    upload = announce(context, size=len(data), **requested)
    permission = upload["put"]
    told = [f"-H{name}: {value}" for name, value in permission["headers"].items()]
    argv = ["curl", "-sf", "-T", str(tmp_path / "clip"), *told, permission["url"]]
    subprocess.run(argv, check=True, timeout=60)
    done = requests.post(upload["links"]["complete"], timeout=60)
    assert done.status_code == 200
    assert done.json()["status"] == "complete"
    assert context.blob(upload["id"]) == data
    job = context.store.get(upload["id"])
    assert job is not None
    assert job.source.name == "clip.mp4"


def test_parts_then_joined_and_verified_and_complete_bears_a_repeat(
    context: Context,
) -> None:
    data = os.urandom(2 * PART_BYTES + 99)
    upload = announce(context, size=len(data), mode="parts", job={"metadata": 1})
    told = []
    for item in reversed(upload["parts"]["items"]):
        at = (item["number"] - 1) * upload["parts"]["part_bytes"]
        answer = put(item, data[at : at + item["size"]])
        assert answer.status_code == 200
        told.append({"number": item["number"], "etag": answer.headers["ETag"]})
    for _ in range(2):
        done = requests.post(
            upload["links"]["complete"], json={"parts": told}, timeout=60
        )
        assert done.status_code == 200, done.text
    assert context.blob(upload["id"]) == data
    job = context.store.get(upload["id"])
    assert job is not None
    assert job.metadata == 1


def test_complete_when_bytes_are_missing_then_409(context: Context) -> None:
    for mode in ("put", "parts"):
        upload = announce(context, size=PART_BYTES + 1, mode=mode)
        done = requests.post(upload["links"]["complete"], timeout=60)
        assert done.status_code == 409
        assert context.store.get(upload["id"]) is None


def test_complete_with_another_etag_then_422(context: Context) -> None:
    upload = announce(context, size=3)
    assert put(upload["put"], b"abc").status_code == 200
    told = {"etag": "0" * 32}
    done = requests.post(upload["links"]["complete"], json=told, timeout=60)
    assert done.status_code == 422


def test_a_put_of_another_size_then_it_never_completes(context: Context) -> None:
    upload = announce(context, size=3)
    put(upload["put"], b"abcdef")
    done = requests.post(upload["links"]["complete"], timeout=60)
    assert done.status_code in {409, 422}


def test_abort_then_404_and_nothing_left(context: Context) -> None:
    upload = announce(context, size=PART_BYTES, mode="parts")
    put(upload["parts"]["items"][0], bytes(PART_BYTES))
    assert requests.delete(upload["links"]["self"], timeout=60).status_code == 204
    assert requests.get(upload["links"]["self"], timeout=60).status_code == 404
    assert context.leftovers(upload["id"]) == []


def test_many_parts_then_pages(context: Context) -> None:
    upload = announce(context, size=150 * PART_BYTES)
    assert (upload["mode"], len(upload["parts"]["items"])) == ("parts", 100)
    page = requests.get(upload["parts"]["next"], timeout=60).json()
    assert [page["items"][0]["number"], page["items"][-1]["number"]] == [101, 150]
    assert page["next"] is None


@pytest.mark.parametrize(
    "requested",
    [{}, {"size": 0}, {"size": 1.5}, {"size": 1, "x": 1}, {"size": 1, "job": {"y": 1}}],
)
def test_an_invalid_announcement_then_422(
    context: Context, requested: dict[str, Any]
) -> None:
    url = f"{context.server.url}/v1/uploads"
    assert requests.post(url, json=requested, timeout=60).status_code == 422


@pytest.mark.parametrize(
    ("job", "pointer"),
    [
        ({"preset": "none"}, "/job/preset"),
        ({"preset": "web", "outputs": [{"kind": "thumbnail"}]}, "/job/preset"),
        ({"outputs": [{"kind": "thumbnail", "name": "a"}] * 2}, "/job/outputs/1/name"),
        ({"outputs": [{"kind": "thumbnail"}] * 33}, "/job/outputs"),
        ({"metadata": "x" * 100_000}, "/job/metadata"),
    ],
)
def test_a_job_that_cannot_be_then_422_points_into_it(
    context: Context, job: dict[str, Any], pointer: str
) -> None:
    url = f"{context.server.url}/v1/uploads"
    requested = {"filename": "clip.mp4", "size": 1, "job": job}
    answer = requests.post(url, json=requested, timeout=60)
    assert (answer.status_code, answer.json()["pointer"]) == (422, pointer)


def test_expired_uploads_then_swept_with_their_bytes(context: Context) -> None:
    kept = context.settings.retention.model_copy(update={"upload_hours": 3e-5})
    brief = context.settings.model_copy(update={"retention": kept})
    uploads = Uploads.connect(brief, context.blobs)
    new = NewUpload(owner="", mode="tus", size=10, content_type="x/y")
    upload = uploads.create(new)
    await_true(lambda: uploads.sweep() > 0)
    assert upload.ref is not None
    with pytest.raises(Exception, match="upload"):
        uploads.get(upload.id, None)


def test_another_owner_s_upload_then_unknown(context: Context) -> None:
    new = NewUpload(owner="a", mode="put", size=1, content_type="x/y")
    upload = context.uploads.create(new)
    assert context.uploads.get(upload.id, "a").id == upload.id
    with pytest.raises(Exception, match="there is no upload"):
        context.uploads.get(upload.id, "b")
    assert context.uploads.get(upload.id, None).owner == "a"
