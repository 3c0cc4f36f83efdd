"""A service with API keys: the browser signs in once, and all of the page works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.inspection import assert_accessible, assert_fits
from tests.browser.test_home import await_status, choose
from tests.chaos.service import Service
from tests.conftest import SAMPLE

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("keys")
    with Service(folder, FRAMEMILL_API_AUTH="true") as running:
        yield running


def test_a_person_signs_in_uploads_and_signs_out(visit: Visit) -> None:
    words = ["keys", "create", "anna", "--scope", "read", "--scope", "submit"]
    printed = visit.service.command(*words)
    key = next(word for word in printed.split() if word.startswith("fm_"))
    visit.open("/")
    box = visit.page.get_by_label("API key")
    assert_accessible(visit)
    box.fill("fm_wrong")
    box.press("Enter")
    expect(visit.page.get_by_role("alert")).to_contain_text("unknown or was revoked")
    box.fill(key)
    box.press("Enter")

    expect(visit.page.get_by_text("anna")).to_be_visible()
    choose(visit, SAMPLE)
    await_status(visit, "sample.mp4", "completed")
    visit.service.restart("api")
    visit.service.await_ready()
    visit.page.reload()
    expect(visit.page.get_by_role("article", name="sample.mp4")).to_be_visible()
    visit.page.set_viewport_size({"width": 390, "height": 800})
    assert_fits(visit)
    visit.page.get_by_role("button", name="Sign out").click()
    expect(visit.page.get_by_label("API key")).to_be_visible()
