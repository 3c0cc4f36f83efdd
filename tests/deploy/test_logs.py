"""The logs of the parts of ``./dev``: bounded, and whole at each turn of the file."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from deploy.allinone.children import ChildDied, Children, Part

ROOT = Path(__file__).parents[2]
LIMIT = 100_000
WRITERS, LINES = 3, 2_000  # 150 kB: between one and two files
SPEAK = f"""
import os, sys, time
for _ in range({WRITERS} - 1):
    if os.fork() == 0:
        break
for number in range({LINES}):
    os.write(1, f"{{os.getpid():010}} {{number:013}}\\n".encode())
os.write(1, b"the last\\n")
while len(sys.argv) == 1:
    time.sleep(1)
sys.exit(7)
"""


def run(tmp_path, *arguments):
    argv = [sys.executable, "-c", SPEAK, *arguments]
    children = Children(ROOT, tmp_path, dict(os.environ), log_bytes=LIMIT)
    child = children.start(Part("speaker", argv, lambda _pid: True))
    return children, child


def said(tmp_path):
    old, new = tmp_path / "speaker.log.1", tmp_path / "speaker.log"
    return [path.read_text() for path in (old, new) if path.exists()]


def await_words(tmp_path):
    deadline = time.monotonic() + 60
    while "".join(said(tmp_path)).count("the last") < WRITERS:
        assert time.monotonic() < deadline, said(tmp_path)
        time.sleep(0.05)


def test_a_long_log_is_rotated_without_a_lost_line_or_a_restart(tmp_path):
    children, child = run(tmp_path)
    try:
        await_words(tmp_path)
        assert child.process.poll() is None
        assert children.pids() == {"speaker": child.process.pid}
    finally:
        children.stop()

    old, new = said(tmp_path)
    assert LIMIT / 2 < len(old) <= LIMIT + 64 * 1024
    lines = [line for line in (old + new).splitlines() if line != "the last"]
    assert len(lines) == len(set(lines)) == WRITERS * LINES
    assert {len(line) for line in lines} == {24}, "no line was cut"


def test_one_old_file_is_kept_and_those_of_an_earlier_run_are_not(tmp_path):
    (tmp_path / "speaker.log.1").write_text("an earlier run\n")
    children, _ = run(tmp_path)
    try:
        await_words(tmp_path)
    finally:
        children.stop()

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["speaker.log", "speaker.log.1"]
    assert "earlier" not in "".join(said(tmp_path))


def test_the_last_words_of_a_part_are_in_the_reason_of_its_death(tmp_path):
    children, child = run(tmp_path, "die")
    child.process.wait(60)

    try:
        with pytest.raises(ChildDied, match=r"(?s)status 7.*the last"):
            children.check()
    finally:
        children.stop()
