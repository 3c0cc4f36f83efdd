"""Uploads by pages of another origin, under the rules of a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.api.uploads.context import url_id
from tests.chaos.service import Service
from tests.chromium import MILLISECONDS
from tests.conftest import SAMPLE
from tests.e2e.context import THUMBNAIL, assert_pictures
from tests.tools import TUS_JS
from tests.worker.receiver import Receiver, Reply, Request, receiving

pytestmark = pytest.mark.browser
TUS = TUS_JS / "dist" / "tus.min.js"

BY_TUS = """({endpoint, chunkSize, job}) => new Promise((resolve, reject) => {
    const upload = new tus.Upload(window.clip, {
        endpoint, chunkSize, retryDelays: [500, 500],
        metadata: {filename: "clip.mp4", filetype: "video/mp4", job},
        onError: reject,
        onSuccess: () => resolve(upload.url),
    });
    upload.start();
})"""
BY_PUT = """async ({root, job}) => {
    const json = {"Content-Type": "application/json"};
    const clip = {filename: "clip.mp4", size: window.clip.size};
    const asked = {...clip, content_type: "video/mp4", job};
    const told = await fetch(`${root}/v1/uploads`,
        {method: "POST", headers: json, body: JSON.stringify(asked)});
    const {put, links} = await told.json();
    const stored = await fetch(put.url, {...put, body: window.clip});
    const etag = stored.headers.get("ETag");
    const done = await fetch(links.complete,
        {method: "POST", headers: json, body: JSON.stringify({etag})});
    return [told.headers.get("Location"), etag, done.status];
}"""
SHOWN = """async url => {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    return [picture.naturalWidth, picture.naturalHeight];
}"""


@pytest.fixture(scope="module")
def site() -> Iterator[Receiver]:
    """Somebody else's site: a page, the client's script, and the clip."""

    def answer(request: Request) -> Reply:
        if request.path == "/clip.mp4":
            return Reply(200, {"Content-Type": "video/mp4"}, SAMPLE.read_bytes())
        if request.path == "/tus.js" and TUS.is_file():
            return Reply(200, {"Content-Type": "text/javascript"}, TUS.read_bytes())
        if request.path == "/":
            return Reply(200, {"Content-Type": "text/html"}, b"<title>Site</title>")
        return Reply(404)

    with receiving(answer) as server:
        yield server


@pytest.fixture(scope="module")
def service(
    site: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("cross")
    with Service(folder, FRAMEMILL_API_CORS_ORIGINS=site.url) as running:
        yield running


@pytest.fixture
def page(browser: Browser, site: Receiver) -> Iterator[Page]:
    opened = browser.new_page()
    opened.set_default_timeout(MILLISECONDS)
    opened.goto(site.url)
    opened.evaluate(
        "async () => { window.clip = await (await fetch('/clip.mp4')).blob() }"
    )
    yield opened
    opened.close()


@pytest.mark.needs("tus-js-client")
def test_a_page_uploads_by_tus_js_client(page: Page, service: Service) -> None:
    page.add_script_tag(url="/tus.js")

    url = page.evaluate(
        BY_TUS,
        {"endpoint": f"{service.url}/v1/tus", "chunkSize": 300_000, "job": "{}"},
    )

    assert_pictures(service, url_id(url))


def test_a_page_uploads_by_a_presigned_put_and_shows_the_picture(
    page: Page, service: Service
) -> None:
    requested: dict[str, Any] = {"root": service.url, "job": {"outputs": THUMBNAIL}}

    location, etag, status = page.evaluate(BY_PUT, requested)

    assert etag
    assert status == 200
    job = assert_pictures(service, url_id(location))
    assert page.evaluate(SHOWN, job["links"]["thumbnail"]) == [640, 360]


def test_a_page_of_a_third_origin_is_told_nothing(
    browser: Browser, service: Service
) -> None:
    with receiving(lambda _: Reply(200, {"Content-Type": "text/html"})) as other:
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.goto(other.url)
        told = page.evaluate(
            "url => fetch(url).then(() => 'told', () => 'refused')",
            f"{service.url}/v1/jobs",
        )
        page.close()

    assert told == "refused"
