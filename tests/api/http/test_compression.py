"""What is sent compressed, what never is, and how caches tell both forms apart."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from tests.api.conftest import Context

TAKES = {"Accept-Encoding": "br, gzip;q=0.8"}
SCRIPT = "/static/js/home.js"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/jobs",
        "/operations",
        "/docs/errors",
        "/openapi.json",
        SCRIPT,
        "/static/app.css",
    ],
)
def test_the_texts_of_pages_are_compressed(context: Context, path: str) -> None:
    plain = context.client.get(path, buffered=True)
    small = context.client.get(path, headers=TAKES, buffered=True)

    assert "Content-Encoding" not in plain.headers
    assert small.headers["Content-Encoding"] == "gzip"
    assert small.content_length == len(small.data) < len(plain.data) / 1.5
    assert gzip.decompress(small.data) == plain.data
    for one in (plain, small):
        assert "Accept-Encoding" in one.headers["Vary"]
        assert one.mimetype == plain.mimetype


@pytest.mark.parametrize("refused", ["identity", "gzip;q=0", "br", ""])
def test_who_does_not_take_gzip_gets_the_text_as_it_is(
    context: Context, refused: str
) -> None:
    answer = context.client.get(
        SCRIPT, headers={"Accept-Encoding": refused}, buffered=True
    )
    assert "Content-Encoding" not in answer.headers
    assert b"import" in answer.data


def test_what_the_api_answers_is_never_compressed(context: Context) -> None:
    # It has signed links beside names that callers choose.
    job = context.submit(metadata={"note": "x" * 3000})["id"]
    context.make(job)
    for path in (f"/v1/jobs/{job}", "/v1/jobs", "/v1/outputs/schema"):
        answer = context.client.get(path, headers=TAKES)
        assert len(answer.data) > 1000
        assert "Content-Encoding" not in answer.headers


def test_pictures_and_small_texts_are_sent_as_they_are(context: Context) -> None:
    picture = "/static/swagger-ui/favicon-32x32.png"
    for path in (picture, "/static/js/theme.js", "/docs"):
        answer = context.client.get(path, headers=TAKES, buffered=True)
        assert answer.status_code == 200
        assert "Content-Encoding" not in answer.headers


def test_a_range_is_of_the_text_as_it_is(context: Context) -> None:
    part = TAKES | {"Range": "bytes=0-9"}
    answer = context.client.get(SCRIPT, headers=part, buffered=True)
    assert (answer.status_code, len(answer.data)) == (206, 10)
    assert "Content-Encoding" not in answer.headers


def test_each_form_has_an_etag_of_its_own(context: Context) -> None:
    client = context.client
    plain = client.get(SCRIPT, buffered=True).headers["ETag"]
    small = client.get(SCRIPT, headers=TAKES, buffered=True).headers["ETag"]
    assert plain != small

    known = client.get(SCRIPT, headers=TAKES | {"If-None-Match": small}, buffered=True)
    assert (known.status_code, known.data) == (304, b"")
    assert known.headers["ETag"] == small
    assert "Accept-Encoding" in known.headers["Vary"]
    other = client.get(SCRIPT, headers={"If-None-Match": small}, buffered=True)
    assert (other.status_code, other.headers["ETag"]) == (200, plain)
    kept = client.get(SCRIPT, headers={"If-None-Match": plain}, buffered=True)
    assert (kept.status_code, kept.headers["ETag"]) == (304, plain)


def test_a_head_request_tells_of_the_same_form(context: Context) -> None:
    got = context.client.get(SCRIPT, headers=TAKES, buffered=True)
    told = context.client.head(SCRIPT, headers=TAKES, buffered=True)
    assert told.data == b""
    for name in ("Content-Length", "Content-Encoding", "ETag"):
        assert told.headers[name] == got.headers[name]


def test_pages_still_vary_by_what_they_did_before(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"cors_origins": ["https://a.test"]})
    vary = ", ".join(context.client.get("/", headers=TAKES).headers.getlist("Vary"))
    for name in ("Accept-Language", "Cookie", "Accept-Encoding", "Origin"):
        assert name in vary
