"""The corpus test's option: a folder with INVENTORY.tsv and clips/."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that name the corpus and the folder for its results."""
    group = parser.getgroup("corpus")
    group.addoption("--corpus", help="folder with INVENTORY.tsv and clips/")
    group.addoption("--corpus-results", help="folder for the table of results")
