"""The record of what is there, and its locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.source import block_map
from worker.source.block_map import BlockMap, Layout

LAYOUT = Layout(size=1001, block=100)


@pytest.fixture
def blocks(tmp_path: Path) -> BlockMap:
    return BlockMap.create(tmp_path / "map", LAYOUT)


def test_a_layout_ends_with_a_short_block() -> None:
    assert LAYOUT.blocks == 11
    assert LAYOUT.covering(99, 101) == (0, 2)
    assert LAYOUT.covering(1000, 5000) == (10, 11)
    assert LAYOUT.covering(4000, 5000) == (11, 11)
    assert LAYOUT.bytes_of((9, 11)) == (900, 1001)
    assert Layout(0, 100).blocks == 0


def test_what_is_missing_are_the_runs_between_what_is_there(blocks: BlockMap) -> None:
    blocks.mark((0, 1))
    blocks.mark((3, 5))
    blocks.mark((10, 11))
    assert blocks.missing((0, 11)) == [(1, 3), (5, 10)]
    assert blocks.missing((3, 5)) == []
    assert blocks.has((3, 5))
    assert not blocks.has((2, 5))
    assert blocks.present == 4


def test_another_who_opens_it_sees_the_same(tmp_path: Path, blocks: BlockMap) -> None:
    other = BlockMap.open(tmp_path / "map", LAYOUT)
    assert other is not None
    blocks.mark((2, 4))
    assert other.has((2, 4))
    with blocks.claim((0, 3)) or pytest.fail("not free"):  # type: ignore[truthy-bool]
        assert other.claim((0, 3)) is None
        assert other.claim((2, 9)) is None
        assert blocks.claim((2, 9)) is None


def test_a_claim_reaches_up_to_what_another_has(blocks: BlockMap) -> None:
    middle, late = blocks.claim((5, 7)), blocks.claim((8, 9))
    assert middle is not None
    assert late is not None
    with middle, late:
        before = blocks.claim((2, 11))
        assert before is not None
        with before:
            assert before.run == (2, 5)
        between = blocks.claim((7, 11))
        assert between is not None
        with between:
            assert between.run == (7, 8)
    after = blocks.claim((0, 11))
    assert after is not None
    with after:
        assert after.run == (0, 11)


def test_a_record_of_another_file_or_boot_or_a_torn_one_is_not_trusted(
    tmp_path: Path, blocks: BlockMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "map"
    assert BlockMap.open(tmp_path / "none", LAYOUT) is None
    assert BlockMap.open(path, Layout(1000, 100)) is None
    assert BlockMap.open(path, Layout(1001, 101)) is None
    monkeypatch.setattr(block_map, "boot_id", lambda: "another boot")
    assert BlockMap.open(path, LAYOUT) is None
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:-1])
    assert BlockMap.open(path, LAYOUT) is None
