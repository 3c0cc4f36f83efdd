"""The one command tells the truth about itself."""

from __future__ import annotations

import re
import subprocess

from tests.conftest import ROOT


def dev(*words):
    return subprocess.run(
        [ROOT / "dev", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_line_of_a_clone_runs_from_any_folder(tmp_path):
    done = subprocess.run(
        [ROOT / "framemill", "openapi"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")


def test_help_names_every_command_there_is():
    done = dev("--help")
    script = (ROOT / "dev").read_text()
    cases = re.findall(r"^([a-z]+)\)$", script, re.MULTILINE)

    assert done.returncode == 0
    assert {"test", "chaos", "lint", "install"} <= set(cases)
    for command in [*cases, "demo", "up"]:
        assert re.search(rf"^  {command}\b", done.stdout, re.MULTILINE), command


def test_an_unknown_command_is_refused():
    done = dev("tset")

    assert done.returncode == 1
    assert "no such command: tset" in done.stderr


def test_the_commands_of_the_readme_are_commands_of_dev():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    usage = dev("--help").stdout

    for command in re.findall(r"^\./dev *(\w*)$", text, re.MULTILINE):
        assert f"  {command or '(none)'}" in usage
