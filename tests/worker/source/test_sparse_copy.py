"""A copy that holds what was asked for: bytes, requests, and what goes wrong."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from common.errors import (
    DiskFull,
    Interrupted,
    SourceChanged,
    SourceNotFound,
    StorageUnavailable,
)
from tests.worker.source.conftest import DATA, MIB, Case, read
from worker.source import block_map

# The blocks of a small file, and what the first read of a place fetches.
BLOCK, WINDOW = 16 * 1024, 128 * 1024


def test_only_the_blocks_that_are_read_leave_the_storage(case: Case) -> None:
    opened = case.open()
    middle = 5 * MIB + 17

    assert read(opened, middle, middle + 100) == DATA[middle : middle + 100]

    assert not opened.file.complete
    assert opened.file.path.stat().st_size == len(DATA)
    assert opened.file.path.stat().st_blocks * 512 <= 3 * WINDOW
    assert case.proxy.gets == ["bytes=0-131071", "bytes=5242880-5373951"]
    assert case.proxy.down == 2 * WINDOW
    reading = opened.reading
    assert (reading.access, reading.access_reason) == ("sparse", None)
    assert (reading.bytes_read, reading.requests) == (2 * WINDOW, 2)


def test_another_task_reads_nothing_that_is_there(case: Case) -> None:
    first = case.open()
    read(first, 3 * MIB, 3 * MIB + 5)
    first.close()
    case.proxy.clear()

    second = case.open()

    assert read(second, 3 * MIB, 3 * MIB + 9) == DATA[3 * MIB : 3 * MIB + 9]
    assert case.proxy.requests == []
    assert (second.reading.bytes_read, second.reading.requests) == (0, 0)


def test_the_last_bytes_of_the_source_arrive_and_what_lies_behind_does_not_matter(
    case: Case,
) -> None:
    opened = case.open()
    assert read(opened, len(DATA) - 5, len(DATA) + MIB) == DATA[-5:]
    opened.file.ensure(len(DATA) + 10, len(DATA) + 20)
    opened.file.ensure(10, 10)


def test_a_program_that_reads_on_is_served_ahead_in_fewer_requests(case: Case) -> None:
    opened = case.open()
    step = 32 * 1024
    for at in range(0, 4 * MIB, step):
        assert read(opened, at, at + step) == DATA[at : at + step]
    assert len(case.proxy.gets) <= 12
    assert case.proxy.down <= 8 * MIB + 3 * WINDOW


def test_once_half_is_there_the_rest_comes_by_itself(case: Case) -> None:
    opened = case.open()
    opened.file.ensure(0, 5 * MIB)
    deadline = time.monotonic() + 20
    while not opened.file.complete:
        assert time.monotonic() < deadline, "the rest did not come"
        time.sleep(0.01)
    assert opened.file.path.read_bytes() == DATA
    assert case.proxy.down == len(DATA)


def test_many_ranges_come_at_once(case: Case) -> None:
    opened = case.open()
    spans = [(MIB * number, MIB * number + 10) for number in range(1, 5)]
    case.proxy.delay = 0.2
    began = time.monotonic()
    opened.file.ensure_all(spans)
    assert time.monotonic() - began < 0.6
    assert len(case.proxy.gets) == 5
    for start, end in spans:
        assert opened.file.path.read_bytes()[start:end] == DATA[start:end]


def test_ranges_past_the_end_are_not_waited_for(case: Case) -> None:
    """An index lists packets that a film which was cut off does not have."""
    opened, size = case.open(), len(DATA)
    spans = [(size - 10, 2 * size), (size, size + 9), (2 * size, 3 * size)]
    opened.file.ensure_all([*spans, (2 * MIB, 2 * MIB + 9)])
    data = opened.file.path.read_bytes()
    assert data[-10:] == DATA[-10:]
    assert data[2 * MIB : 2 * MIB + 9] == DATA[2 * MIB : 2 * MIB + 9]


def test_a_broken_connection_is_resumed_where_it_broke(case: Case) -> None:
    opened = case.open()
    case.proxy.breaks, case.proxy.break_after = 1, 40_000
    end = 2 * MIB + WINDOW
    assert read(opened, 2 * MIB, end) == DATA[2 * MIB : end]
    assert case.proxy.gets[1:] == ["bytes=2097152-2228223", "bytes=2137152-2228223"]


def test_a_storage_that_goes_away_is_asked_again_by_the_next_read(case: Case) -> None:
    opened = case.open()
    case.proxy.breaks = 100
    with pytest.raises(StorageUnavailable):
        opened.file.ensure(MIB, MIB + 1)
    case.proxy.breaks = 0
    assert read(opened, MIB, MIB + 1) == DATA[MIB : MIB + 1]


def test_a_source_that_was_replaced_is_refused(case: Case) -> None:
    opened = case.open()
    case.put("in/film/source", DATA[::-1])
    with pytest.raises(SourceChanged):
        opened.file.ensure(4 * MIB, 4 * MIB + 1)
    case.store.delete("in/film/source")
    with pytest.raises(SourceNotFound):
        opened.file.ensure(4 * MIB, 4 * MIB + 1)


def test_an_attempt_that_is_stopped_does_not_wait_for_a_slow_storage(
    case: Case,
) -> None:
    stop = threading.Event()
    opened = case.open(should_stop=stop.is_set)
    case.proxy.delay = 5.0
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        opened.file.ensure(MIB, MIB + 1)
    assert time.monotonic() - began < 2


def test_a_copy_that_was_closed_brings_nothing_more(case: Case) -> None:
    opened = case.open()
    opened.close()
    with pytest.raises(Interrupted):
        opened.file.ensure(MIB, MIB + 1)


def test_a_full_disk_is_named_after_the_cache_gave_its_room(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = case.put("in/other/source", b"o" * MIB)
    case.open(source=other).close()
    (case.folder / f"attempt-{len(case.opened) - 1}").unlink()
    opened = case.open()
    assert len(case.kept()) == 2
    write = os.pwrite

    def refuse(descriptor: int, data: bytes, at: int) -> int:
        if at >= MIB:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(DiskFull):
        opened.file.ensure(MIB, MIB + 1)
    assert len(case.kept()) == 1
    monkeypatch.undo()
    assert read(opened, MIB, MIB + 1) == DATA[MIB : MIB + 1]


def _fill(case: Case, path: Path, barrier: object) -> None:
    opened = case.forked().open(case.source, path)
    barrier.wait()  # type: ignore[attr-defined]
    opened.file.ensure(0, len(DATA))
    opened.close()


def test_processes_that_fill_a_copy_together_fetch_each_block_once(case: Case) -> None:
    case.proxy.rate = 20 * MIB
    spawn = multiprocessing.get_context("fork")
    barrier = spawn.Barrier(3)
    paths = [case.folder / f"process-{number}" for number in range(3)]
    children = [
        spawn.Process(target=_fill, args=(case, path, barrier)) for path in paths
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert [path.read_bytes() == DATA for path in paths] == [True] * 3
    assert case.proxy.down == len(DATA)


def _be_killed(case: Case, path: Path) -> None:
    opened = case.forked().open(case.source, path)
    opened.file.ensure(0, len(DATA))


def test_a_killed_process_leaves_no_block_marked_that_it_did_not_write(
    case: Case,
) -> None:
    case.proxy.rate = 20 * MIB
    child = multiprocessing.get_context("fork").Process(
        target=_be_killed, args=(case, case.folder / "killed")
    )
    child.start()
    deadline = time.monotonic() + 30
    while case.proxy.down < 6 * MIB:
        assert time.monotonic() < deadline, "nothing was read"
        time.sleep(0.005)
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join(60)
    (record,), (kept,) = case.kept(".map"), case.kept()
    blocks = -(-len(DATA) // BLOCK)
    marks, data = record.read_bytes()[-blocks:], kept.read_bytes()
    there = [number for number, mark in enumerate(marks) if mark]

    assert 0 < len(there) < blocks
    for number in there:
        block = slice(number * BLOCK, (number + 1) * BLOCK)
        assert data[block] == DATA[block]
    opened = case.open()
    opened.file.ensure(0, len(DATA))
    assert opened.file.path.read_bytes() == DATA
    assert opened.reading.bytes_read <= len(DATA) - (len(there) - 1) * BLOCK


def test_what_an_earlier_boot_left_is_not_trusted(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_map, "boot_id", lambda: "0" * 36)
    case.open().file.ensure(0, 100)
    monkeypatch.undo()
    case.proxy.clear()

    read(case.open(), 0, 100)

    assert case.proxy.gets == ["bytes=0-131071"]


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_copy_whose_record_is_lost_is_begun_anew(case: Case, damage: str) -> None:
    opened = case.open()
    opened.file.ensure(0, len(DATA))
    opened.close()
    (record,) = case.kept(".map")
    if damage == "gone":
        record.unlink()
    else:
        content = record.read_bytes()
        record.write_bytes(content[:50] if damage == "cut" else content[::-1])
    case.proxy.clear()

    assert read(case.open(), 7, 90) == DATA[7:90]

    assert case.proxy.gets == ["bytes=0-131071"]
