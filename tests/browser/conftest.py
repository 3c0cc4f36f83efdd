"""A service for Chromium to visit, and what it says of a visit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Response

from tests.chaos.service import Service
from tests.chromium import MILLISECONDS


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("browser")) as running:
        yield running


@dataclass
class Visit:
    """A page, what it asked for, and what it complained of."""

    page: Page
    service: Service
    answers: list[Response] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Response:
        answer = self.page.goto(self.service.url + path, wait_until="networkidle")
        assert answer is not None
        assert answer.status == 200
        return answer

    def elsewhere(self) -> list[str]:
        """Return the addresses asked for that are not the service's."""
        own = urlsplit(self.service.url).netloc
        found = [answer.url for answer in self.answers]
        return [
            url
            for url in found
            if urlsplit(url).netloc != own and not url.startswith("data:")
        ]


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(MILLISECONDS)
    visiting = Visit(page, service)
    # Playwright can not register a list's own method.
    page.on("response", lambda answer: visiting.answers.append(answer))  # noqa: PLW0108
    page.on("pageerror", lambda error: visiting.complaints.append(str(error)))
    page.on(
        "requestfailed",
        lambda requested: visiting.complaints.append(
            f"failed {requested.resource_type} {requested.url}: {requested.failure}"
        ),
    )
    page.on(
        "console",
        lambda told: (
            visiting.complaints.append(told.text)
            if told.type in {"error", "warning"}
            else None
        ),
    )
    yield visiting
    page.close()
