"""Links to files: signatures, ranges, headers, and the local store's grants."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.files.routes import blueprint, source_type
from api.http import problems as errors
from common.model import Artifact, JobRecord, MediaInfo, OutputRecord, Source
from common.runtime import Runtime
from common.settings.load import Settings
from common.settings.sections import Api, Blobs
from common.storage import connect
from common.storage.links import artifact_url, source_url
from common.storage.names import content_disposition
from common.storage.port import PART_BYTES, BlobStore, Grant

JOB = "0" * 32
KEY = f"out/{JOB}/poster/3/thumbnail.jpg"
DATA = b"0123456789"
HOST = "http://files.test"


class Records:
    """A job store that knows one job."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}

    def get(self, job_id: str) -> JobRecord | None:
        return self.jobs.get(job_id)


class Client(FlaskClient):
    """Reads each answer to its end, so that no file stays open."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        return super().open(*args, buffered=True, **kwargs)


@dataclass
class Context:
    client: FlaskClient
    blobs: BlobStore
    settings: Settings
    records: Records

    def put(self, key: str, data: bytes) -> None:
        with self.blobs.writer(key, content_type="x/y") as writer:
            writer.write(data)
            writer.commit()

    def grant(self, **changes: Any) -> str:
        terms = {"content_type": "image/jpeg", "filename": "a.jpg", "seconds": 60}
        return local(self.blobs.grant_get(KEY, **{**terms, **changes}))


def local(grant: Grant) -> str:
    return "/blobs/" + grant.url.split("/blobs/", 1)[1]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return context_of(
        Settings(
            blobs=Blobs(path=tmp_path / "blobs"), api=Api(secret="files-secret-" * 4)
        )
    )


def context_of(settings: Settings) -> Context:
    records: Any = Records()
    records.jobs[JOB] = job_record()
    blobs = connect(settings)
    app = Flask("files")
    app.extensions["framemill"] = Runtime(settings, records, blobs, records)
    app.register_blueprint(blueprint)
    errors.register(app)
    app.test_client_class = Client
    return Context(app.test_client(), blobs, settings, records)


def artifact() -> Artifact:
    return Artifact(
        name="thumbnail.jpg",
        key=KEY,
        content_type="image/jpeg",
        bytes=len(DATA),
        sha256="0" * 64,
    )


def job_record() -> JobRecord:
    output = OutputRecord(
        name="poster",
        kind="thumbnail",
        spec={},
        status="succeeded",
        artifacts=[artifact()],
    )
    source = Source(kind="upload", key=f"in/{JOB}/source", name="süß.clip.mp4")
    return JobRecord(
        id=JOB,
        status="completed",
        created_at=0,
        updated_at=0,
        source=source,
        outputs=[output],
    )


def link(context: Context, one: Artifact | None = None) -> str:
    """Return the link of a file of the job's output, or of one like it."""
    output = context.records.jobs[JOB].outputs[0]
    if one is not None:
        output = output.model_copy(update={"artifacts": [one]})
    return artifact_url(HOST, context.settings, JOB, output, one or artifact())


def test_an_artifact_link_then_302_to_a_grant_that_serves_it(context: Context) -> None:
    context.put(KEY, DATA)
    url = link(context)
    answer = context.client.get(url)
    assert answer.status_code == 302
    assert answer.location.startswith("http://files.test/blobs/")
    served = context.client.get(answer.location)
    assert (served.status_code, served.data) == (200, DATA)
    assert served.headers["Content-Type"] == "image/jpeg"
    disposition = served.headers["Content-Disposition"]
    assert disposition.startswith("inline; ")
    assert disposition.endswith("UTF-8''s%C3%BC%C3%9F.clip-thumbnail.jpg")
    assert context.client.head(url).status_code == 302


def test_an_artifact_link_when_made_twice_in_a_day_then_the_same(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = set()
    for now in (86_400 * 20_000, 86_400 * 20_001 - 1):
        monkeypatch.setattr("common.storage.links.time.time", lambda now=now: now)
        urls.add(link(context))
    assert len(urls) == 1


def test_an_artifact_link_when_the_job_is_gone_or_redone_then_404(
    context: Context,
) -> None:
    newer = artifact().model_copy(update={"key": KEY.replace("/3/", "/4/")})
    stale = link(context, newer)
    assert context.client.get(stale).status_code == 404
    url = link(context)
    context.records.jobs.clear()
    assert context.client.get(url).status_code == 404


@pytest.mark.parametrize("change", [("/1", "/2"), ("-", "-x"), ("/3/", "/4/")])
def test_an_artifact_link_when_altered_then_403(
    context: Context, change: tuple[str, str]
) -> None:
    url = link(context)
    assert context.client.get(url).status_code == 302
    assert context.client.get(url.replace(*change)).status_code == 403


@pytest.mark.parametrize("change", [("e=", "e=9"), ("s=", "s=x"), ("/0", "/1")])
def test_a_source_link_when_altered_then_403(
    context: Context, change: tuple[str, str]
) -> None:
    url = source_url(HOST, context.settings, JOB)
    assert context.client.get(url.replace(*change)).status_code == 403
    assert context.client.get(url.split("?", maxsplit=1)[0]).status_code == 403


def test_an_index_then_its_bytes_here_so_that_the_names_in_it_lead_on(
    context: Context,
) -> None:
    text = b"WEBVTT\n\nthumbnail.jpg#xywh=0,0,1,1\n"
    index = artifact().model_copy(
        update={
            "key": KEY.replace(".jpg", ".vtt"),
            "name": "thumbnail.vtt",
            "content_type": "text/vtt",
        }
    )
    context.records.jobs[JOB].outputs[0].artifacts.append(index)
    context.put(index.key, text)
    url = link(context, index)
    answer = context.client.get(url)
    assert (answer.status_code, answer.data) == (200, text)
    assert answer.headers["Content-Type"] == "text/vtt; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    again = context.client.get(url, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    part = context.client.get(url, headers={"Range": "bytes=0-5"})
    assert (part.status_code, part.data) == (206, b"WEBVTT")
    assert context.client.get(urljoin(url, "thumbnail.jpg")).status_code == 302
    context.blobs.delete(index.key)
    assert context.client.get(url).status_code == 404


def test_files_of_parts_then_their_names_lead_on_from_the_index_of_the_joining(
    context: Context,
) -> None:
    key = KEY.replace("thumbnail.jpg", "one.gif")
    part = artifact().model_copy(update={"name": "one.gif", "key": key})
    index = artifact().model_copy(
        update={
            "name": "snippets.json",
            "key": KEY.replace("/3/thumbnail.jpg", "/9/snippets.json"),
            "content_type": "application/json",
        }
    )
    context.put(part.key, DATA)
    context.put(index.key, b'{"file": "one.gif"}')
    output = context.records.jobs[JOB].outputs[0]
    output.artifacts[:] = [part, index]
    url = artifact_url(HOST, context.settings, JOB, output, index)
    assert "/poster/9/" in url

    beside = urljoin(url, "one.gif")

    assert beside == artifact_url(HOST, context.settings, JOB, output, part)
    granted = context.client.get(beside)
    assert context.client.get(granted.location).data == DATA
    assert context.client.get(urljoin(url, "two.gif")).status_code == 404


def test_an_artifact_link_then_pages_of_other_sites_may_show_it(
    context: Context,
) -> None:
    answer = context.client.get(link(context))
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_the_source_link_then_an_attachment_of_no_type(context: Context) -> None:
    context.put(f"in/{JOB}/source", b"<script>")
    answer = context.client.get(source_url(HOST, context.settings, JOB))
    served = context.client.get(answer.location)
    assert served.data == b"<script>"
    assert served.headers["Content-Type"] == "application/octet-stream"
    assert served.headers["Content-Disposition"].startswith("attachment; ")


@pytest.mark.parametrize(
    ("container", "name", "kind"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", "a.mp4", "video/mp4"),
        ("mov,mp4,m4a,3gp,3g2,mj2", "A.MOV", "video/quicktime"),
        ("mov,mp4,m4a,3gp,3g2,mj2", "page.html", "video/mp4"),
        ("matroska,webm", "a.webm", "video/webm"),
        ("matroska,webm", "a.jpg", "video/x-matroska"),
        ("mpegts", None, "video/mp2t"),
        ("new container", "a.mp4", "application/octet-stream"),
        (None, "a.mp4", "application/octet-stream"),
    ],
)
def test_the_source_link_then_the_type_is_what_the_probe_found(
    container: str | None, name: str | None, kind: str
) -> None:
    media = None if container is None else MediaInfo(container=container)
    assert source_type(media, name or "source") == kind


def test_the_source_link_when_it_is_not_kept_then_404(context: Context) -> None:
    gone = job_record().model_copy(update={"source_kept": False})
    context.records.jobs[JOB] = gone
    answer = context.client.get(source_url(HOST, context.settings, JOB))
    assert answer.status_code == 404


def test_a_served_file_then_nothing_in_it_can_run(context: Context) -> None:
    context.put(KEY, DATA)
    headers = context.client.get(context.grant()).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    ("requested", "status", "body", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
    ],
)
def test_a_range_then_206_or_416(
    context: Context,
    requested: str,
    status: int,
    body: bytes | None,
    content_range: str,
) -> None:
    context.put(KEY, DATA)
    answer = context.client.get(context.grant(), headers={"Range": requested})
    assert answer.status_code == status
    assert answer.headers["Content-Range"] == content_range
    if body is not None:
        assert answer.data == body


def test_validators_then_304_and_if_range(context: Context) -> None:
    context.put(KEY, DATA)
    url = context.grant()
    etag = context.client.get(url).headers["ETag"]
    same = context.client.get(url, headers={"If-None-Match": etag})
    assert same.status_code == 304
    ranged = {"Range": "bytes=0-1"}
    held = context.client.get(url, headers={**ranged, "If-Range": etag})
    assert held.status_code == 206
    other = context.client.get(url, headers={**ranged, "If-Range": '"other"'})
    assert (other.status_code, other.data) == (200, DATA)
    head = context.client.head(url)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == "10"


def test_a_grant_when_expired_or_altered_then_403(context: Context) -> None:
    context.put(KEY, DATA)
    assert context.client.get(context.grant(seconds=-1)).status_code == 403
    altered = context.grant().replace("image%2Fjpeg", "text%2Fhtml")
    assert "text%2Fhtml" in altered
    assert context.client.get(altered).status_code == 403
    assert context.client.put(context.grant(), data=b"x").status_code == 403


def test_a_granted_file_when_deleted_then_404(context: Context) -> None:
    assert context.client.get(context.grant()).status_code == 404


def put_url(context: Context, **terms: Any) -> str:
    return local(
        context.blobs.grant_put("in/x/source", content_type="x/y", seconds=60, **terms)
    )


def test_a_granted_put_then_stored(context: Context) -> None:
    answer = context.client.put(
        put_url(context, size=5), data=b"bytes", content_type="x/y"
    )
    assert answer.status_code == 200
    assert answer.headers["ETag"].strip('"') == context.blobs.head("in/x/source").etag
    assert b"".join(context.blobs.read("in/x/source")) == b"bytes"


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [(b"four", "x/y", 400), (b"longer", "x/y", 413), (b"bytes", "text/html", 400)],
)
def test_a_granted_put_of_other_size_or_type_then_refused(
    context: Context, data: bytes, kind: str, status: int
) -> None:
    url = put_url(context, size=5)
    assert context.client.put(url, data=data, content_type=kind).status_code == status
    assert list(context.blobs.list("in/")) == []


def test_a_granted_put_when_the_body_ends_early_then_nothing_stored(
    context: Context,
) -> None:
    answer = context.client.put(
        put_url(context, size=5),
        data=b"by",
        content_type="x/y",
        environ_overrides={"CONTENT_LENGTH": "5"},
    )
    assert answer.status_code == 400
    assert list(context.blobs.list("in/")) == []


def test_a_granted_part_then_its_etag_joins(context: Context) -> None:
    ref = context.blobs.begin_parts("in/p/source", content_type="x/y")
    data = os.urandom(PART_BYTES + 3)
    for number, chunk in enumerate((data[:PART_BYTES], data[PART_BYTES:]), 1):
        grant = context.blobs.grant_part(
            "in/p/source", ref, number, size=len(chunk), seconds=60
        )
        answer = context.client.put(local(grant), data=chunk)
        assert answer.status_code == 200
    parts = list(context.blobs.list_parts("in/p/source", ref))
    assert answer.headers["ETag"].strip('"') == parts[1].etag
    context.blobs.join_parts("in/p/source", ref, parts)
    assert b"".join(context.blobs.read("in/p/source")) == data


@pytest.mark.parametrize(
    "name",
    [
        'a".mp4; filename="evil.html',
        "../../x.mp4",
        "a\r\nSet-Cookie: x=y",
        "\u202egpj.exe",
        "\U0001f3ac;%41.mp4",
        "n" * 300,
        "..",
        "\0",
        "\udcff.mp4",
    ],
)
def test_a_hostile_name_then_one_safe_header(name: str) -> None:
    header = content_disposition(name, attachment=True)
    assert header.isascii()
    assert header.isprintable()
    quoted = header.split('"')
    assert len(quoted) == 3
    assert not set(quoted[1]) & set('/\\;"%')
    shown = unquote(header.split("''")[1]) if "''" in header else quoted[1]
    assert shown
    assert not set(shown) & set("/\\\r\n\0\u202e")
    assert len(shown) <= 200
