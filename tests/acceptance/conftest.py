"""One running service for all acceptance tests.

By default all parts of this checkout are started on a temporary folder.
``FRAMEMILL_ACCEPTANCE_TREE`` names another checkout whose parts are started instead,
``FRAMEMILL_ACCEPTANCE_URL`` a service that runs already (``FRAMEMILL_ACCEPTANCE_KEY``:
its API key)::

    FRAMEMILL_ACCEPTANCE_TREE=../old ./dev test tests/acceptance/faults
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.acceptance.service import Service, chosen, started

# Read before the tests' own fixture takes away what the machine has set.
URL, TREE = chosen(os.environ)
KEY = os.environ.get("FRAMEMILL_ACCEPTANCE_KEY")
HERE = Path(__file__).parent


FAULT = re.compile(r"acceptance/faults/test_(\d\d)_(\w+)\.py")
OUTCOMES = ("passed", "failed", "error", "skipped")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file that gets the table of faults."""
    text = "write the table of fault lines to this file"
    parser.addoption("--fault-table", type=Path, default=None, help=text)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print a row for each line of faults: how many of its tests had which outcome."""
    lines: dict[tuple[str, str], Counter[str]] = {}
    for outcome in OUTCOMES:
        for report in terminalreporter.stats.get(outcome, []):
            if found := FAULT.search(report.nodeid):
                counts = lines.setdefault((found[1], found[2]), Counter())
                counts[outcome] += 1
    if not lines:
        return
    rows = ["| line | fault | result |", "| --- | --- | --- |"]
    for (number, name), counts in sorted(lines.items()):
        bad = counts["failed"] or counts["error"]
        words = ", ".join(f"{counts[one]} {one}" for one in OUTCOMES if counts[one])
        sign = "**FAIL**" if bad else "pass" if counts["passed"] else "not run"
        title = name.replace("_", " ")
        rows.append(f"| {int(number)} | {title} | {sign} ({words}) |")
    terminalreporter.write_line("")
    for row in rows:
        terminalreporter.write_line(row)
    if place := config.getoption("--fault-table", default=None):
        place.write_text("\n".join([*rows, ""]), encoding="utf-8")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder, so that the ordinary run leaves them out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.acceptance)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service under test, with the settings of ``./dev``."""
    if URL:
        yield Service(URL, key=KEY)
        return
    with started(tmp_path_factory.mktemp("acceptance"), TREE) as one:
        yield one


@pytest.fixture
def start_service(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractContextManager[Service]]:
    """Start a service of the test's own with more settings.

    ``with start_service(FRAMEMILL_S3_SECRET_ACCESS_KEY="wrong", ...) as service:``.
    ``data=`` names the data folder, to start the same service again.
    """

    def start(
        data: Path | None = None, **environment: str
    ) -> AbstractContextManager[Service]:
        folder = data or tmp_path_factory.mktemp("service")
        return started(folder, tree, **environment)

    return start


@pytest.fixture(scope="session")
def tree() -> Path:
    """The checkout under test, for tests that start a service of their own.

    They are skipped where FRAMEMILL_ACCEPTANCE_URL names a service that runs already:
    its checkout, settings and storage are out of their reach (README.md, Faults).
    """
    if URL:
        pytest.skip("needs a service of its own: unset FRAMEMILL_ACCEPTANCE_URL")
    return TREE
