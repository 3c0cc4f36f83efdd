"""Files of an S3 storage that are sent through the API, with their ranges."""

from __future__ import annotations

from typing import Any

import pytest

from common.storage.links import source_url
from tests.api.files.test_routes import DATA, HOST, JOB, KEY, Context, context_of, link
from tests.common.storage.conftest import moto_endpoint, rclone_endpoint, s3_settings

__all__ = ["moto_endpoint", "rclone_endpoint"]  # fixtures


@pytest.fixture(params=["moto_endpoint", "rclone_endpoint"])
def proxied(request: pytest.FixtureRequest) -> Context:
    settings = s3_settings(request.getfixturevalue(request.param))
    s3 = settings.s3.model_copy(update={"proxy_downloads": True})
    return context_of(settings.model_copy(update={"s3": s3}))


def test_an_artifact_is_sent_whole(proxied: Context) -> None:
    proxied.put(KEY, DATA)
    answer = proxied.client.get(link(proxied))

    assert (answer.status_code, answer.data) == (200, DATA)
    assert answer.headers["Content-Length"] == "10"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Content-Disposition"].startswith("inline; ")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("wanted", "told", "part"),
    [
        ("bytes=2-4", "bytes 2-4/10", b"234"),
        ("bytes=7-", "bytes 7-9/10", b"789"),
        ("bytes=-2", "bytes 8-9/10", b"89"),
    ],
)
def test_a_range_is_a_range(
    proxied: Context, wanted: str, told: str, part: bytes
) -> None:
    proxied.put(KEY, DATA)
    answer = proxied.client.get(link(proxied), headers={"Range": wanted})

    assert (answer.status_code, answer.data) == (206, part)
    assert answer.headers["Content-Range"] == told
    assert answer.headers["Content-Length"] == str(len(part))


def test_a_range_past_the_end_is_416(proxied: Context) -> None:
    proxied.put(KEY, DATA)
    answer = proxied.client.get(link(proxied), headers={"Range": "bytes=10-"})

    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */10"


def test_what_the_browser_has_is_not_sent_again(proxied: Context) -> None:
    proxied.put(KEY, DATA)
    etag = proxied.client.get(link(proxied)).headers["ETag"]
    again = proxied.client.get(link(proxied), headers={"If-None-Match": etag})
    head = proxied.client.head(link(proxied))
    changed = {"Range": "bytes=2-4", "If-Range": '"another"'}
    whole = proxied.client.get(link(proxied), headers=changed)

    assert (again.status_code, again.data) == (304, b"")
    assert (head.status_code, head.headers["Content-Length"]) == (200, "10")
    assert (whole.status_code, whole.data) == (200, DATA)


def test_a_file_that_is_gone_is_404(proxied: Context) -> None:
    proxied.blobs.delete(KEY)

    assert proxied.client.get(link(proxied)).status_code == 404


def test_the_source_is_sent_as_an_attachment(proxied: Context) -> None:
    proxied.put(f"in/{JOB}/source", DATA)
    url: Any = source_url(HOST, proxied.settings, JOB)
    answer = proxied.client.get(url)

    assert (answer.status_code, answer.data) == (200, DATA)
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
