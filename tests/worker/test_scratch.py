"""Scratch folders: a live one stays, one that was left behind goes."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from tests.conftest import ROOT
from worker.scratch import ScratchDir, remove_abandoned


def test_a_folder_in_use_stays_and_is_removed_with_its_files(tmp_path: Path) -> None:
    folder = ScratchDir(tmp_path)
    (folder.path / "frame.png").write_bytes(b"x")
    assert remove_abandoned(tmp_path) == 0
    assert (folder.path / "frame.png").exists()
    folder.remove()
    assert not folder.path.exists()


def test_the_folder_of_a_dead_process_goes(tmp_path: Path) -> None:
    folder = ScratchDir(tmp_path)
    folder._lock.close()  # as the kernel does
    assert remove_abandoned(tmp_path) == 1
    assert not folder.path.exists()


def test_a_folder_that_is_about_to_be_locked_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, removed = fcntl.flock, []

    def slow(file: IO[str], how: int) -> None:
        if how == fcntl.LOCK_EX:
            removed.append(remove_abandoned(tmp_path))
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    folder = ScratchDir(tmp_path)
    assert removed == [0]
    assert folder.path.exists()
    folder.remove()


def test_two_processes_may_remove_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "attempts" / "old"
    folder.mkdir(parents=True)
    os.utime(folder, (0, 0))
    stat = Path.stat

    def overtaken(path: Path, **how: bool) -> os.stat_result:
        found = stat(path, **how)
        if path == folder:
            shutil.rmtree(path)  # the other one is faster
        return found

    monkeypatch.setattr(Path, "stat", overtaken)
    assert remove_abandoned(tmp_path) == 0


@pytest.mark.parametrize(("age", "removed"), [(5, 0), (600, 1)])
def test_a_folder_without_a_lock_goes_once_it_is_old(
    tmp_path: Path, age: float, removed: int
) -> None:
    folder = tmp_path / "attempts" / "new"
    folder.mkdir(parents=True)
    then = time.time() - age
    os.utime(folder, (then, then))
    assert remove_abandoned(tmp_path) == removed
    assert folder.exists() is not bool(removed)


_CHILD = """
import sys, tempfile, time
import worker.app
worker.app._begin_child()
folder = tempfile.mkdtemp(prefix="probe-")
print(folder, flush=True)
if sys.argv[1] == "ends":
    worker.app._end_child()
else:
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_temporary_folders_of_a_pool_process_go_with_it(
    tmp_path: Path, how: str
) -> None:
    given = {"FRAMEMILL_WORKER_SCRATCH": str(tmp_path), "PATH": os.environ["PATH"]}
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, how],
        env=given,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.is_relative_to(tmp_path)
        if how == "is killed":
            assert folder.exists()
            process.kill()
    assert remove_abandoned(tmp_path) == (how == "is killed")
    assert not list((tmp_path / "processes").iterdir())
