"""Make the pictures of the pages in docs/pictures: python -m tests.docs.pages."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests import chromium
from tests.chaos.service import Service
from tests.conftest import ROOT, SAMPLE

PICTURES = ROOT / "docs" / "pictures"


def _opened(browser: Browser, scheme: str, width: int, height: int) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        locale="en",
    )
    context.set_default_timeout(chromium.MILLISECONDS)
    return context.new_page()


def _drop_a_video(page: Page, url: str, clip: Path) -> None:
    page.goto(url)
    page.locator("#files").set_input_files(clip)
    page.locator('.card[data-status="completed"]').wait_for()
    page.wait_for_load_state("networkidle")


def _upload_slowly(page: Page, url: str, clip: Path) -> None:
    page.goto(url)
    session = page.context.new_cdp_session(page)
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1}
    session.send(
        "Network.emulateNetworkConditions", limits | {"uploadThroughput": 50_000}
    )
    page.locator("#files").set_input_files(clip)
    page.get_by_text("/s,").wait_for()


def _save(page: Page, name: str) -> None:
    page.screenshot(path=PICTURES / name, type="jpeg", quality=82)


def _make(browser: Browser, url: str, clip: Path) -> None:
    page = _opened(browser, "light", 1120, 1130)
    _upload_slowly(page, url, clip)
    _save(page, "page-upload.jpg")
    page.get_by_role("button", name="Discard").click()
    page.locator(".upload").wait_for(state="detached")
    page.context.close()
    page = _opened(browser, "light", 1120, 1540)
    _drop_a_video(page, url, clip)
    _save(page, "page.jpg")
    page = _opened(browser, "dark", 1120, 900)
    page.goto(url)
    page.locator('.card[data-status="completed"] .name a').first.click()
    page.get_by_role("button", name="Pick another frame").click()
    page.get_by_role("slider", name="Time of the frame").fill("3")
    page.locator(".picker-view:not(.seeking)").wait_for()
    _save(page, "page-frame.jpg")
    page.goto(page.url)
    page.locator('.stage[data-state="succeeded"]').nth(3).wait_for()
    page.locator('#events li[data-event="job.completed"]').wait_for()
    page.locator("#history").scroll_into_view_if_needed()
    page.locator("#history").screenshot(
        path=PICTURES / "page-timeline.jpg", type="jpeg", quality=82
    )


def main() -> None:
    """Start a service, show it the sample, and write what a person sees."""
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder)) as service:
        clip = Path(folder) / "big-buck-bunny.mp4"
        shutil.copy(SAMPLE, clip)
        with chromium.running() as browser:
            _make(browser, service.url, clip)


if __name__ == "__main__":
    main()
