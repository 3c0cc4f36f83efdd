"""Scratch folders: a live one stays, one that was left behind goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

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
