"""Every test that the page on reliability names for a promise or a fault is there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs/explanation/reliability.md").read_text("utf-8")
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_ROW = re.compile(
    r"^\| (?P<promise>[^|]+) \| (?P<tests>`tests/[^|]+) \|$", re.MULTILINE
)
ROWS = [match.groupdict() for match in _ROW.finditer(PAGE)]


@cache
def functions_of(path: str) -> set[str]:
    """Return the functions that pytest would collect from a file."""
    if not (ROOT / path).is_file():
        return set()
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_page_has_promises_and_faults():
    assert len(ROWS) > 60
    assert len({row["promise"] for row in ROWS}) == len(ROWS)


def test_no_name_of_a_test_is_outside_of_a_row():
    named = sum(len(_NAMED.findall(row["tests"])) for row in ROWS)

    assert PAGE.count("`tests/") == named


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["promise"])
def test_every_test_of_a_promise_is_there(row):
    named = _NAMED.findall(row["tests"])
    assert ", ".join(f"`{path}::{name}`" for path, name in named) == row["tests"]
    missing = [
        f"{path}::{name}" for path, name in named if name not in functions_of(path)
    ]
    assert missing == []
