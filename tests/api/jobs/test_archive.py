"""All files of a job as one zip: its names, its bytes, its limits, its breaks."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from api.jobs import archive
from common.errors import SourceNotFound, StorageUnavailable
from common.model import Artifact
from tests.api.conftest import OBJECT, Context, a_file, post_form
from tests.api.http.test_auth import a_key

TWO = [{"kind": "thumbnail", "name": "poster"}, {"kind": "animation", "name": "clip"}]


def made(context: Context, name: str = "Mein Film.mp4") -> str:
    """Make a job with two outputs; returns the address of its archive."""
    parts = {"file": a_file(name=name), "outputs": json.dumps(TWO)}
    job = post_form(context, parts).json
    context.make(job["id"])
    shown = context.client.get(f"/v1/jobs/{job['id']}").json
    link: str = shown["links"]["archive"]
    assert link.endswith(f"/v1/jobs/{job['id']}/archive")
    return link


def test_it_has_every_file_under_the_name_of_its_output(context: Context) -> None:
    answer = context.client.get(made(context))
    assert answer.mimetype == "application/zip"
    assert (
        answer.headers["Content-Disposition"] == 'attachment; filename="Mein Film.zip"'
    )
    with zipfile.ZipFile(io.BytesIO(answer.data)) as found:
        assert found.testzip() is None
        assert found.namelist() == ["poster/poster.bin", "clip/clip.bin"]
        assert found.read("clip/clip.bin") == b"GIF"
        kinds = {
            (one.compress_type, one.external_attr >> 16) for one in found.infolist()
        }
    assert kinds == {(zipfile.ZIP_STORED, 0o100644)}


def test_its_bytes_come_while_it_is_made(context: Context) -> None:
    answer = context.client.get(made(context))
    assert answer.content_length is None
    assert len(list(answer.iter_encoded())) >= 4


def test_a_name_of_a_caller_cannot_end_the_header(context: Context) -> None:
    answer = context.client.get(made(context, name='a"\\/../ü;x.mp4'))
    given = answer.headers["Content-Disposition"]
    assert given.startswith('attachment; filename="')
    assert "\n" not in given
    assert given.count('"') == 2


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../b", "a\\b", ".x", "a\nb"]
)
def test_no_name_leads_out_of_the_folder(context: Context, name: str) -> None:
    made(context)
    (job,), _ = context.runtime.store.list("")
    wrong = Artifact(
        name=name, key="out/x", content_type="image/png", bytes=1, sha256="0" * 64
    )
    output = job.outputs[0].model_copy(update={"artifacts": [wrong]})
    with pytest.raises(SourceNotFound):
        archive.files_of(job.model_copy(update={"outputs": [output]}))


def test_more_than_four_gigabytes_have_room(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_job = archive.files_of

    def large(job: Any) -> Any:
        grown = {"bytes": 5 * 2**30}
        return [(name, one.model_copy(update=grown)) for name, one in of_job(job)]

    monkeypatch.setattr(archive, "files_of", large)
    answer = context.client.get(made(context))
    with zipfile.ZipFile(io.BytesIO(answer.data)) as found:
        assert found.testzip() is None
        assert {one.extract_version for one in found.infolist()} == {45}


def test_a_job_that_has_not_ended_has_none(context: Context) -> None:
    job = context.submit(outputs=TWO)["id"]
    context.make(job, only=("poster",))
    shown = context.client.get(f"/v1/jobs/{job}").json
    assert (shown["status"], len(shown["outputs"][0]["artifacts"])) == ("processing", 1)
    assert shown["links"]["archive"] is None
    answer = context.client.get(f"/v1/jobs/{job}/archive")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "has not ended (processing)" in answer.json["detail"]
    assert "links.archive" in answer.json["hint"]


def test_a_job_that_ended_without_files_has_none(context: Context) -> None:
    job = context.submit()["id"]
    context.client.post(f"/v1/jobs/{job}/cancel")
    shown = context.client.get(f"/v1/jobs/{job}").json
    assert (shown["status"], shown["links"]["archive"]) == ("cancelled", None)
    answer = context.client.get(f"/v1/jobs/{job}/archive")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "ended without files (cancelled)" in answer.json["detail"]


def test_nobody_gets_the_archive_of_others(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"auth": True})
    anna, ben = a_key(context), a_key(context, owner="ben")
    job = context.client.post("/v1/jobs", json={"source": OBJECT}, headers=anna).json
    context.make(job["id"])
    path = f"/v1/jobs/{job['id']}/archive"
    statuses = [
        context.client.get(path, headers=one).status_code for one in (anna, ben)
    ]
    assert statuses == [200, 404]
    assert context.client.get(path).status_code == 401


def test_so_many_at_once_and_places_come_back(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"transfers": 8})
    path = made(context)
    held = context.client.get(path)
    refused = context.client.get(path)
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) > 0
    held.close()
    again = context.client.head(path)
    assert again.status_code == 200
    again.close()
    assert context.client.get(path).status_code == 200


def test_files_that_are_gone_are_404(context: Context) -> None:
    path = made(context)
    context.runtime.blobs.delete_prefix("out/")
    assert context.client.get(path).status_code == 404


def test_storage_that_fails_at_first_is_503_and_later_breaks_the_zip_off(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(context)
    read = context.runtime.blobs.read

    def fail(key: str, **more: Any) -> Any:
        if key.endswith("poster.bin"):
            return read(key, **more)
        raise StorageUnavailable("away")

    monkeypatch.setattr(context.runtime.blobs, "read", fail)
    answer = context.client.get(path)
    with pytest.raises(StorageUnavailable):
        _ = answer.data
    answer.close()
    monkeypatch.setattr(context.runtime.blobs, "head", lambda _: fail(""))
    assert context.client.get(path).status_code == 503
    monkeypatch.undo()
    assert context.client.get(path).status_code == 200
