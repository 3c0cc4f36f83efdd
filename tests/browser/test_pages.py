"""The pages for people, in a browser that keeps to their content security policy."""

from __future__ import annotations

import json

import pytest

from api.openapi import document as openapi
from common.errors import catalogue
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser
OPERATIONS = sum(
    "operationId" in operation
    for item in openapi.document()["paths"].values()
    for operation in item.values()
)


def test_the_reference_shows_every_operation_and_asks_nobody_else(
    visit: Visit,
) -> None:
    answer = visit.open("/docs")
    visit.page.wait_for_selector(".opblock")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert visit.page.locator(".opblock").count() == OPERATIONS
    assert visit.page.locator(".info .title").inner_text().startswith("Framemill")
    assert visit.elsewhere() == []
    assert visit.complaints == []


def test_an_operation_opens_with_its_example(visit: Visit) -> None:
    visit.open("/docs#/jobs/createJob")
    block = visit.page.locator("#operations-jobs-createJob")
    block.locator(".opblock-body").wait_for()

    assert "framemill" in block.inner_text()
    assert "Idempotency-Key" in block.inner_text()
    assert visit.complaints == []


def test_an_operation_can_be_tried(visit: Visit) -> None:
    visit.open("/docs#/jobs/listJobs")
    block = visit.page.locator("#operations-jobs-listJobs")
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    shown = block.locator(".live-responses-table .response-col_description code").first
    shown.wait_for()

    assert "jobs" in json.loads(shown.inner_text())
    assert visit.complaints == []


def test_the_errors_page_leads_to_each_code(visit: Visit) -> None:
    visit.open("/docs/errors#seek_past_end")

    rows = visit.page.locator("tr[id]")
    shown = visit.page.locator("tr:target")
    assert rows.count() == len(catalogue())
    assert "seek_past_end" in shown.inner_text()
    assert shown.evaluate("row => getComputedStyle(row).backgroundColor") != (
        "rgba(0, 0, 0, 0)"
    ), "the code that was asked for stands out"
    assert visit.elsewhere() == []
    assert visit.complaints == []
