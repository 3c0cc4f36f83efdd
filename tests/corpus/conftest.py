"""The corpus test's option: a folder with INVENTORY.tsv and clips/."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that name the corpus and the folder for its results."""
    group = parser.getgroup("corpus")
    # Read now: the tests' own environment has no FRAMEMILL_ variables.
    default = os.environ.get("FRAMEMILL_TEST_CORPUS")
    text = "folder with INVENTORY.tsv and clips/; default: FRAMEMILL_TEST_CORPUS"
    group.addoption("--corpus", default=default, help=text)
    group.addoption("--corpus-results", help="folder for the table of results")


@pytest.fixture(scope="session")
def corpus(pytestconfig: pytest.Config) -> Path:
    """The folder that was given."""
    given: str | None = pytestconfig.getoption("--corpus", default=None)
    if given is None:
        pytest.fail("which corpus? add --corpus FOLDER, or set FRAMEMILL_TEST_CORPUS")
    return Path(given)
