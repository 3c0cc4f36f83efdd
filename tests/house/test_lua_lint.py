"""The Lua scripts are linted as Redis gets them, each joined from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.house import lua_lint

pytestmark = pytest.mark.needs("luacheck")


def test_no_script_has_a_finding():
    assert lua_lint.check(lua_lint.SCRIPTS) == []


def test_every_lua_file_belongs_to_a_script():
    linted = {file for files in lua_lint.SCRIPTS.values() for file in files}

    assert linted == set((ROOT / "common").rglob("*.lua"))


@pytest.mark.parametrize(
    ("script", "finding"),
    [
        ("own()\nreturn missing(1)", "script.lua:2: (W113) accessing undefined"),
        ("own()\nmade = 1", "script.lua:2: (W111) setting non-standard global"),
        ("local idle = own()", "script.lua:1: (W211) unused variable 'idle'"),
        ("own(\n", "script.lua:2: (E011) expected expression near <eof>"),
    ],
)
def test_a_fault_is_reported_where_it_stands(tmp_path: Path, script, finding):
    library, file = tmp_path / "library.lua", tmp_path / "script.lua"
    library.write_text("local function own() return redis.call('TIME') end\n")
    file.write_text(script)

    found = lua_lint.check({"one": (library, file)})

    assert len(found) == 1
    assert finding in found[0]


def test_a_library_may_define_what_only_some_of_its_scripts_use(tmp_path: Path):
    library, user, other = (tmp_path / f"{name}.lua" for name in ("l", "u", "o"))
    library.write_text(
        "local function used() return 1 end\nlocal function unused() return 1 end\n"
    )
    user.write_text("return used()")
    other.write_text("return 2")

    found = lua_lint.check({"user": (library, user), "other": (library, other)})

    assert [one.removeprefix(f"{tmp_path}/") for one in found] == [
        "l.lua:2: (W211) unused function 'unused'"
    ]
