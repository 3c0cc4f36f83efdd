"""Every test that the page on reliability names for a promise is there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs/explanation/reliability.md"
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_ROW = re.compile(
    r"^\| (?P<promise>[^|]+) \| (?P<tests>`tests/[^|]+) \|$", re.MULTILINE
)
ROWS = [match.groupdict() for match in _ROW.finditer(PAGE.read_text("utf-8"))]


def functions_of(path):
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_page_has_promises():
    assert len(ROWS) > 15


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["promise"])
def test_every_test_of_a_promise_is_there(row):
    named = _NAMED.findall(row["tests"])
    assert ", ".join(f"`{path}::{name}`" for path, name in named) == row["tests"]
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).is_file() or name not in functions_of(path)
    ]
    assert missing == []
