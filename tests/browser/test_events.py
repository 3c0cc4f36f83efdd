"""A browser's own EventSource, as pages use it."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Visit
from tests.chaos.service import until
from tests.conftest import SAMPLE
from tests.e2e.context import THUMBNAIL

pytestmark = pytest.mark.browser

CLOSED = 2  # EventSource.CLOSED
LISTEN = """job => {
    const source = window.source = new EventSource(`/v1/jobs/${job}/events`);
    const heard = window.heard = [];
    for (const kind of ["job.accepted", "job.processing", "output.running",
                        "output.succeeded", "job.completed", "progress"])
        source.addEventListener(kind, event => heard.push(kind));
}"""


def test_an_event_source_hears_all_once_though_the_api_is_killed(
    visit: Visit,
) -> None:
    visit.open("/docs/errors")

    def heard(kind: str) -> bool:
        # The page's policy forbids what Playwright's own wait_for_function does.
        return kind in visit.page.evaluate("window.heard")

    with visit.service.stopped("worker"):
        job = visit.service.submit(SAMPLE, THUMBNAIL)
        visit.page.evaluate(LISTEN, job)
        until(lambda: heard("job.accepted"), 120, "the stream began")
        visit.service.restart("api")
        visit.service.await_ready()
    until(lambda: heard("job.completed"), 120, "the stream went on")
    # It comes back once more and is told by 204 that there is no more.
    until(lambda: visit.page.evaluate("source.readyState") == CLOSED, 120, "it rests")

    kinds = [kind for kind in visit.page.evaluate("heard") if kind != "progress"]
    assert kinds[0] == "job.accepted"
    assert kinds[-1] == "job.completed"
    assert kinds.count("job.accepted") == kinds.count("job.completed") == 1
