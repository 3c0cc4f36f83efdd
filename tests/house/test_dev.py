"""The one command tells the truth about itself."""

from __future__ import annotations

import fcntl
import re
import subprocess

from tests.conftest import ROOT


def dev(*words, cwd=ROOT):
    return subprocess.run(
        [ROOT / "dev", *words],
        check=False,
        cwd=cwd,
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


def test_help_names_every_measurement_there_is_and_no_other_is_made():
    usage = dev("--help").stdout
    listed = re.findall(r"^  bench ([a-z]+)\b", usage, re.MULTILINE)
    modules = (ROOT / "tests" / "bench").glob("[a-z]*.py")
    programs = [path.stem for path in modules if "\nif __name__" in path.read_text()]

    assert sorted(listed) == sorted(programs)
    assert dev("bench", "webp", "--help").returncode == 0
    assert "no such measurement: load" in dev("bench", "load").stderr


def test_files_and_folders_are_those_of_the_folder_it_is_called_in(tmp_path):
    words = ("demo", "clip.mp4", "--data", "data")
    none = dev(*words, cwd=tmp_path)
    assert (none.returncode, none.stderr) == (
        1,
        "dev: clip.mp4: No such file or directory\n",
    )

    (tmp_path / "clip.mp4").touch()
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another ./dev does
        second = dev(*words, cwd=tmp_path)

    assert f"another ./dev runs on {tmp_path / 'data'}" in second.stderr
    assert "./framemill submit clip.mp4 -o results --data data" in second.stderr


def test_an_unknown_command_is_refused():
    done = dev("tset")

    assert done.returncode == 1
    assert "no such command: tset" in done.stderr


def test_the_commands_of_the_readme_are_commands_of_dev():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    usage = dev("--help").stdout

    for command in re.findall(r"^\./dev *(\w*)$", text, re.MULTILINE):
        assert f"  {command or '(none)'}" in usage
