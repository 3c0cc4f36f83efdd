"""The page of operators: what runs, what happened, and what is run again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from common.jobs.store import JobStore
from common.settings.load import Settings
from tests.browser.conftest import Visit
from tests.browser.inspection import assert_accessible, assert_fits, assert_quiet
from tests.browser.test_home import SLOW
from tests.browser.test_job import await_end
from tests.chaos.service import Service
from tests.conftest import SAMPLE

pytestmark = pytest.mark.browser
expect.set_options(timeout=SLOW)
ONE = [{"kind": "thumbnail", "name": "poster"}]


@pytest.fixture(scope="module")
def store(service: Service) -> JobStore:
    address = f"redis://127.0.0.1:{service.ports['store']}/0"
    return JobStore.connect(Settings(store={"url": address}))


def give_up(store: JobStore, job: str) -> str:
    """Let workers die on the source of a job; returns the task."""
    task = f"{job}:prepare"
    for number in range(store.settings.lease.max_deaths):
        store.claim(task, f"token{number}", "host:1")
        store.died(task, f"token{number}")
    return task


@pytest.fixture
def dead(service: Service, store: JobStore) -> Iterator[list[str]]:
    """Two tasks that were given up, the latest first."""
    with service.stopped("worker"):
        jobs = [service.submit(SAMPLE, ONE) for _ in range(2)]
        tasks = [give_up(store, job) for job in jobs]
    yield tasks[::-1]
    store.purge()


def letters(page: Page) -> Locator:
    return page.locator("#letters > li")


def total(page: Page, name: str) -> int:
    """Return what the legend of a plot counts of the last hour."""
    key = page.locator(".plot .key", has_text=re.compile(f"^{name} "))
    return int(key.inner_text().rpartition(" ")[2])


def test_it_shows_the_queues_the_worker_and_the_last_hour(visit: Visit) -> None:
    await_end(visit.service, visit.service.submit(SAMPLE, ONE))
    visit.open("/")
    link = visit.page.get_by_role("navigation").get_by_role("link", name="Operations")
    link.click()
    expect(visit.page.locator("#queues tr")).to_have_count(2)

    names = visit.page.locator("#queues th").all_inner_texts()
    assert names == ["fast", "slow"]
    expect(visit.page.locator("#workers tr")).to_have_count(1)
    expect(visit.page.locator("#workers tr")).to_contain_text("fast, slow")
    expect(visit.page.locator("#health")).to_have_text("All well")
    assert total(visit.page, "Accepted") >= 1
    assert total(visit.page, "Done") >= 1
    drawing = visit.page.get_by_role("img", name="Jobs ended per minute")
    assert drawing.locator("path.completed").get_attribute("d") != ""
    assert_accessible(visit)
    assert_fits(visit)
    assert_quiet(visit)


def test_the_numbers_of_the_plots_are_there_as_a_table(visit: Visit) -> None:
    await_end(visit.service, visit.service.submit(SAMPLE, ONE))
    visit.open("/operations")
    visit.page.get_by_text("Numbers by minute").click()
    rows = visit.page.locator("#numbers tbody tr")
    expect(rows).to_have_count(60)

    accepted = [int(n) for n in rows.locator("td:nth-child(2)").all_inner_texts()]
    assert sum(accepted) == total(visit.page, "Accepted")
    assert_accessible(visit)


def test_it_follows_what_happens_without_a_reload(visit: Visit) -> None:
    visit.open("/operations")
    expect(visit.page.locator("#queues tr")).to_have_count(2)
    with visit.service.stopped("worker"):
        visit.service.submit(SAMPLE, ONE)
        ready = visit.page.locator('[data-queue="fast"] td').first
        expect(ready).to_have_text("1")
    expect(ready).to_have_text("0")


def test_a_dead_letter_is_run_again_and_disappears(
    visit: Visit, dead: list[str]
) -> None:
    visit.open("/operations")
    expect(letters(visit.page)).to_have_count(2)
    first = letters(visit.page).first
    expect(first).to_contain_text("The worker's process died while it had this work")
    expect(first).to_contain_text("3 attempts")
    assert_accessible(visit)

    button = first.get_by_role("button", name=f"Run again: {dead[0]}")
    button.focus()
    visit.page.keyboard.press("Enter")
    expect(letters(visit.page)).to_have_count(1)

    expect(letters(visit.page)).to_contain_text(dead[1])
    expect(visit.page.get_by_role("status")).to_have_text("It is queued again")
    job = dead[0].partition(":")[0]
    assert await_end(visit.service, job)["status"] == "completed"
    # The keyboard goes on where it was: at the letter that is left.
    expect(letters(visit.page).get_by_role("button")).to_be_focused()
    assert_quiet(visit)


def test_all_dead_letters_are_run_again(visit: Visit, dead: list[str]) -> None:
    visit.open("/operations")
    visit.page.get_by_role("button", name="Run all again").click()
    expect(visit.page.get_by_text("No task was given up.")).to_be_visible()
    expect(visit.page.get_by_role("heading", name="Dead letters")).to_be_focused()

    ends = [await_end(visit.service, one.partition(":")[0]) for one in dead]
    assert [one["status"] for one in ends] == ["completed"] * 2
    assert_quiet(visit)


def test_a_letter_that_cannot_be_run_again_says_why(
    visit: Visit, store: JobStore, dead: list[str]
) -> None:
    visit.open("/operations")
    expect(letters(visit.page)).to_have_count(2)
    # Polling would take it from the list.
    visit.page.route("**/v1/operations", lambda route: route.abort())
    store.delete(dead[0].partition(":")[0])
    letters(visit.page).first.get_by_role("button").click()

    alert = visit.page.locator("#redrive-fault").get_by_role("alert")
    expect(alert).to_contain_text("There is no task")
    outage = visit.page.locator("#fault").get_by_role("alert")
    expect(outage).to_contain_text("can't be reached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_on_a_phone_and_in_the_dark(
    visit: Visit, dead: list[str], scheme: str
) -> None:
    visit.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    visit.page.set_viewport_size({"width": 360, "height": 740})
    visit.page.context.add_cookies(
        [{"name": "language", "value": "de", "url": visit.service.url}]
    )
    visit.open("/operations")
    expect(letters(visit.page)).to_have_count(2)

    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Betrieb")
    assert_fits(visit)
    assert_accessible(visit)
    assert_quiet(visit)
