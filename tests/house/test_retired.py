"""Names that were given up stay away."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT
from tests.house import retired
from tests.house.test_house import ROOMS, named, texts

# The list and its test, the history, and other people's files.
EXEMPT = (
    *("tests/house/retired.py", "tests/house/test_retired.py"),
    *("CHANGELOG.md", "api/web/static/swagger-ui/"),
    "api/web/static/vendor/",
)
ENDINGS = r"(?:s|ed|es|ing|er|d)?"
WORD = re.compile(
    rf"(?<![a-z])(?:{'|'.join(retired.WORDS)}){ENDINGS}(?![a-z])", re.IGNORECASE
)
ALIAS = re.compile("|".join(retired.ALIASES))
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
LUA_NOISE = re.compile(r"--[^\n]*|'[^'\n]*'|\"[^\"\n]*\"")


def words_in(line):
    return WORD.findall(CAMEL.sub("_", ALIAS.sub("", line)))


def identifiers_of(tree):
    """Yield every name that a module defines, takes or uses, with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield line, node.name
            case ast.Name():
                yield line, node.id
            case ast.Attribute():
                yield line, node.attr
            case ast.arg() | ast.keyword():
                yield line, node.arg
            case ast.alias():
                yield line, node.asname or node.name


def lines_of(suffixes=None):
    for path in texts():
        name = named(path)
        if name.startswith(EXEMPT) or (suffixes and path.suffix not in suffixes):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{name}:{number}", line


def test_no_text_has_an_invented_word():
    found = {place: words_in(line) for place, line in lines_of()}

    assert {place: words for place, words in found.items() if words} == {}


def test_no_python_has_a_retired_identifier():
    found = {
        f"{named(path)}:{line}": name
        for path in texts()
        if path.suffix == ".py" and not named(path).startswith("findings/")
        for line, name in identifiers_of(ast.parse(path.read_text(encoding="utf-8")))
        if name in retired.IDENTIFIERS
    }

    assert found == {}


def test_no_lua_has_a_retired_identifier():
    found = {
        f"{named(path)}: {name}"
        for path in texts()
        if path.suffix == ".lua"
        for name in re.findall(r"\w+", LUA_NOISE.sub("", path.read_text("utf-8")))
        if name in retired.LUA_IDENTIFIERS
    }

    assert found == set()


def test_no_text_names_a_retired_event_or_module():
    modules = [name.replace(".", r"[./]") for name in retired.MODULES]
    events = [re.escape(name) for name in retired.EVENTS]
    gone = re.compile(rf"(?<![\w.])(?:{'|'.join([*events, *modules])})(?![\w-])")
    found = {
        place: hit.group() for place, line in lines_of() if (hit := gone.search(line))
    }

    assert found == {}


def test_no_retired_module_is_there():
    back = [
        name
        for name in retired.MODULES
        for path in (ROOT / name.replace(".", "/"),)
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists()
    ]

    assert back == []
    assert all(name.split(".")[0] in ROOMS for name in retired.MODULES)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("def read_piece(PieceId):", ["piece", "Piece"]),
        ("a DeadPiece, its bells and a doorbell", ["Piece", "bells", "doorbell"]),
        ("`fm:piece:ID` and `piece:`", []),
        ('{"rung": "exact"}', []),
        ("exact_rungs", ["rungs"]),
        ("a label, a desktop, a masterpiece, a glitter", []),
    ],
)
def test_words_are_found_in_prose_and_in_identifiers(line, words):
    assert words_in(line) == words


def test_each_alias_is_still_in_use():
    text = "\n".join(line for _, line in lines_of())

    assert [one for one in retired.ALIASES if not re.search(one, text)] == []
