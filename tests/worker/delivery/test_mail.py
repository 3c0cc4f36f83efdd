"""What a mail shows: the best picture, links that need no key, no code of callers."""

from __future__ import annotations

import re
import time
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest

from common.model import (
    Artifact,
    BatchRecord,
    ErrorInfo,
    Event,
    JobRecord,
    OutputRecord,
    Source,
)
from common.settings.load import Settings
from common.storage.links import read_share
from common.storage.signing import check_seal
from tests.worker.context import make_runtime
from worker.delivery.mail import (
    Letter,
    Picture,
    compose,
    link_files,
    link_page,
    pick_picture,
)

JOB = "0123456789abcdef0123456789abcdef"
SECRET = "s" * 40
ERROR = ErrorInfo(code="decode_error", title="Bad", detail="nothing <decodes>")


def artifact(output: str, name: str, kind: str, **more: Any) -> Artifact:
    return Artifact(
        name=name,
        key=f"out/{JOB}/{output}/7/{name}",
        content_type=kind,
        sha256="0" * 64,
        **{"bytes": 12_345, **more},
    )


def output(name: str, *artifacts: Artifact, **more: Any) -> OutputRecord:
    given = {"kind": name, "spec": {}, "status": "succeeded", **more}
    return OutputRecord(name=name, artifacts=list(artifacts), **given)


def job(*outputs: OutputRecord, **more: Any) -> JobRecord:
    source = Source(kind="upload", name="a.mp4")
    given = {"status": "completed", "created_at": 0, "updated_at": 0, **more}
    return JobRecord(id=JOB, source=source, outputs=list(outputs), **given)


def page(record: JobRecord, *, root: str | None = "https://f.test", **more: Any) -> str:
    """Return the HTML of the mail of a job's end."""
    settings = Settings(api={"secret": SECRET, "public_url": root})
    letter = Letter(
        to="you@example.org",
        message="m",
        event=Event(id="1-0", type=f"job.{record.status}", at=0),
        job_id=JOB,
        job=record,
        link=f"{root or ''}/v1/jobs/{JOB}",
        page=link_page(settings, record),
        files=link_files(settings, record),
        **more,
    )
    body = compose(letter, "f@example.org").get_body(("html",))
    assert body is not None
    return str(body.get_content())


def links(html: str) -> list[str]:
    return [unescape(one) for one in re.findall(r'href="([^"]+)"', html)]


STILL = artifact("thumbnail", "t.jpg", "image/jpeg")
MODERN = artifact("thumbnail", "t.webp", "image/webp")
MOVING = artifact("animation", "a.gif", "image/gif")
HUGE = artifact("thumbnail", "big.png", "image/png", bytes=2_000_000)
VIDEO = artifact("preview", "p.mp4", "video/mp4")


@pytest.mark.parametrize(
    ("outputs", "shown"),
    [
        ([output("animation", MOVING), output("thumbnail", STILL)], "t.jpg"),
        ([output("thumbnail", MODERN), output("animation", MOVING)], "a.gif"),
        ([output("thumbnail", MODERN)], "t.webp"),
        ([output("thumbnail", HUGE), output("animation", MOVING)], "a.gif"),
        ([output("preview", VIDEO)], None),
        ([], None),
    ],
)
def test_the_picture_is_what_most_programs_show(tmp_path, outputs, shown):
    runtime = make_runtime(tmp_path)
    for one in (STILL, MODERN, MOVING):
        with runtime.blobs.writer(one.key, content_type=one.content_type) as writer:
            writer.write(one.name.encode())
            writer.commit()
    picture = pick_picture(job(*outputs), runtime.blobs)
    assert (picture and picture.data.decode()) == shown


def test_a_picture_is_no_wider_than_the_column_or_itself():
    wide, small = Picture(b"x", "jpeg", 1920), Picture(b"x", "jpeg", 120)
    assert "max-width:552px" in page(job(output("thumbnail", STILL)), picture=wide)
    assert "max-width:120px" in page(job(output("thumbnail", STILL)), picture=small)


def test_every_file_has_a_link_that_needs_no_key():
    html = page(job(output("thumbnail", STILL), output("animation", MOVING)))
    first, second, _ = links(html)
    assert [first.rpartition("/")[2], second.rpartition("/")[2]] == ["t.jpg", "a.gif"]
    folder, given = urlsplit(first).path.removesuffix("/t.jpg").rsplit("/", 1)
    check_seal(SECRET, "file", folder, given)
    assert "work for a week" in html


def test_a_job_is_seen_on_its_page_for_a_week_without_its_video():
    html = page(job(output("thumbnail", STILL)))
    address, token = links(html)[-1].rsplit("/", 1)
    opened, until, source = read_share(Settings(api={"secret": SECRET}), token)
    assert (address, opened, source) == ("https://f.test/s", JOB, False)
    assert until == pytest.approx(time.time() + 7 * 86_400, abs=60)
    assert "/v1/jobs/" not in html


def test_without_a_public_address_files_are_named_and_not_linked():
    html = page(job(output("thumbnail", STILL)), root=None)
    assert links(html) == []
    assert "t.jpg (12 kB)" in html


def test_of_many_files_the_first_are_linked_and_the_rest_counted():
    many = [artifact("snippets", f"s{n}.webp", "image/webp") for n in range(9)]
    html = page(job(output("snippets", *many)))
    assert len(links(html)) == 4 + 1
    assert "and 5 more" in html


def test_what_ended_the_job_is_told_once_and_what_ended_an_output_too():
    lost = output("thumbnail", status="failed", error=ERROR)
    assert page(job(lost, status="failed", error=ERROR)).count("nothing &lt;") == 1
    assert page(job(output("a", STILL), lost, status="partial")).count("nothing &lt;")


def test_names_of_callers_are_text_and_never_html():
    odd = artifact("thumbnail", "<i>.jpg", "image/jpeg")
    html = page(job(output("thumbnail", odd, kind="<i>")))
    assert "<i>" not in html


def test_a_batch_tells_how_its_jobs_ended():
    batch = BatchRecord(
        id=JOB,
        status="partial",
        created_at=0,
        updated_at=0,
        counts={"completed": 8, "failed": 2, "cancelled": 0},
    )
    letter = Letter(
        to="you@example.org",
        message="m",
        event=Event(id="1-0", type="batch.partial", at=0),
        job_id=JOB,
        job=None,
        batch=batch,
        link=f"https://f.test/v1/batches/{JOB}",
    )
    mail = compose(letter, "f@example.org")
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None
        text = body.get_content()
        assert "8 completed" in text
        assert "2 failed" in text
        assert "cancelled" not in text
