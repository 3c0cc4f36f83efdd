"""How a source is opened, and how long its copy is kept."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common import storage as blobs
from common.errors import SourceChanged, SourceNotFound, TooLarge
from common.model import Source
from common.settings.load import Settings
from tests.worker.source.conftest import DATA, MIB, Case, read
from worker.egress import EgressClient
from worker.source import cache
from worker.source.block_map import BlockMap, Layout
from worker.source.cache import SourceCache
from worker.source.copies import Copies

BLOCK = 16 * 1024


def end(case: Case) -> None:
    """End the last attempt: its folder goes with it."""
    case.opened[-1].close()
    (case.folder / f"attempt-{len(case.opened) - 1}").unlink()


def age(path: Path, seconds: float) -> None:
    """Make a copy's last use lie some time back."""
    for one in (path, path.with_suffix(".map")):
        then = time.time() - seconds
        os.utime(one, (then, then))


@pytest.mark.parametrize(
    ("worker", "intercepts", "reason"),
    [({"sparse_bytes": 10 * MIB}, True, "small"), ({}, False, "kernel")],
)
def test_what_cannot_or_need_not_be_read_by_ranges_is_fetched_whole_in_parallel(
    case: Case, worker: dict[str, int], reason: str, *, intercepts: bool
) -> None:
    opened = case.open(case.cache(intercepts=intercepts, **worker))

    assert opened.file.complete
    assert opened.file.path.read_bytes() == DATA
    reading = opened.reading
    assert (reading.access, reading.access_reason) == ("whole", reason)
    assert (reading.bytes_read, reading.requests) == (len(DATA), 2)
    assert case.proxy.down == len(DATA)


@pytest.mark.parametrize("store_name", ["moto"])
@pytest.mark.parametrize("worker", [{}, {"sparse_bytes": 10 * MIB}])
@pytest.mark.parametrize("intercepts", [True, False])
def test_a_storage_that_ignores_ranges_sends_a_source_once(
    case: Case, worker: dict[str, int], *, intercepts: bool
) -> None:
    case.proxy.keep_range = False
    opened = case.open(case.cache(intercepts=intercepts, **worker))

    assert opened.file.path.read_bytes() == DATA
    assert opened.reading.access_reason == "no_ranges"
    assert case.proxy.gets.count(None) == 1
    assert opened.reading.bytes_read == len(DATA)
    assert case.open().reading.bytes_read == 0


@pytest.mark.parametrize("store_name", ["moto"])
def test_a_copy_of_a_storage_without_ranges_that_was_begun_is_finished(
    case: Case,
) -> None:
    read(case.open(), 0, 10)
    end(case)
    case.proxy.keep_range = False

    opened = case.open()
    assert opened.reading.access == "sparse", "nothing was asked for yet"
    assert read(opened, 8 * MIB, 8 * MIB + 9) == DATA[8 * MIB : 8 * MIB + 9]

    assert opened.reading.access_reason == "no_ranges"
    opened.file.ensure(0, len(DATA))
    assert opened.file.path.read_bytes() == DATA
    assert case.proxy.gets.count(None) == 1


@pytest.mark.parametrize("store_name", ["moto"])
def test_a_whole_source_waits_for_a_process_that_holds_a_part_of_it(
    case: Case,
) -> None:
    begun = case.open()
    layout = Layout(len(DATA), BLOCK)
    record = BlockMap.open(case.kept(".map")[0], layout)
    assert record is not None
    claim = record.claim((160, 161))
    assert claim is not None
    case.proxy.keep_range = False
    case.proxy.clear()
    with ThreadPoolExecutor() as pool:
        with claim:
            reading = pool.submit(begun.file.ensure, 5 * MIB, len(DATA))
            with pytest.raises(TimeoutError):
                reading.result(0.5)
        reading.result(20)

    assert begun.file.path.read_bytes()[5 * MIB :] == DATA[5 * MIB :]
    assert case.proxy.gets.count(None) == 1
    assert len(case.proxy.gets) <= 6


def test_a_source_in_a_folder_is_read_where_it_is(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "blobs": {"backend": "local", "path": tmp_path / "blobs"},
            "worker": {"scratch": tmp_path / "scratch", "sparse_bytes": 0},
            "limits": {"source_bytes": 2000},
        }
    )
    store = blobs.connect(settings)
    sources = SourceCache(settings, store, EgressClient(settings.egress), lambda: True)
    (tmp_path / "new").write_bytes(b"v" * 1000)
    store.put("in/a/source", tmp_path / "new", content_type="video/mp4")
    pinned = sources.pin(Source(kind="upload", key="in/a/source"))

    opened = sources.open(pinned, tmp_path / "attempt")
    store.delete("in/a/source")

    assert opened.file.path.read_bytes() == b"v" * 1000
    assert opened.file.complete
    reading = opened.reading
    assert (reading.access, reading.bytes_read) == ("local", 0)
    assert not (tmp_path / "scratch" / "cache").exists()
    with pytest.raises(SourceNotFound):
        sources.open(pinned, tmp_path / "other")


def test_a_source_in_a_folder_that_changed_is_refused(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "blobs": {"backend": "local", "path": tmp_path / "blobs"},
            "worker": {"scratch": tmp_path / "scratch"},
            "limits": {"source_bytes": 2000},
        }
    )
    store = blobs.connect(settings)
    sources = SourceCache(settings, store, EgressClient(settings.egress), lambda: True)
    for size in (1000, 900, 2001):
        (tmp_path / "new").write_bytes(b"v" * size)
        store.put("in/a/source", tmp_path / "new", content_type="video/mp4")
        if size == 1000:
            pinned = sources.pin(Source(kind="upload", key="in/a/source"))
        elif size == 900:
            with pytest.raises(SourceChanged):
                sources.open(pinned, tmp_path / "attempt")
    with pytest.raises(TooLarge, match="FRAMEMILL_LIMITS_SOURCE_BYTES"):
        sources.pin(Source(kind="upload", key="in/a/source"))


def test_a_copy_outlives_its_job_and_grows_by_the_next(case: Case) -> None:
    read(case.open(), 0, 10)
    end(case)
    case.proxy.clear()

    opened = case.open()
    assert read(opened, 8 * MIB, 8 * MIB + 9) == DATA[8 * MIB : 8 * MIB + 9]

    assert len(case.proxy.gets) == 1
    assert len(case.kept()) == 1


def test_what_counts_is_the_space_that_copies_take_not_the_length_of_sources(
    case: Case,
) -> None:
    other = case.put("in/other/source", DATA[::-1])
    cache = case.cache(cache_bytes=4 * MIB)
    for source in (case.source, other):
        read(case.open(cache, source), 5 * MIB, 5 * MIB + 9)
        end(case)
    assert len(case.kept()) == 2


def test_the_copy_used_longest_ago_goes_first_and_one_in_use_last(case: Case) -> None:
    others = [case.put(f"in/{name}/source", DATA[::-1]) for name in "abc"]
    cache = case.cache(cache_bytes=2 * len(DATA) + MIB, sparse_bytes=100 * MIB)
    in_use = case.open(cache, others[0])
    (first,) = case.kept()
    age(first, 200)
    case.open(cache, others[1])
    end(case)
    (second,) = set(case.kept()) - {first}
    age(second, 100)

    case.open(cache, others[2])
    assert first in case.kept()
    assert second not in case.kept()

    case.open(cache, case.source)
    assert first not in case.kept()
    assert in_use.file.path.read_bytes() == DATA[::-1]


def test_a_copy_that_was_evicted_goes_on_filling_for_those_who_have_it(
    case: Case,
) -> None:
    opened = case.open()
    for path in (*case.kept(), *case.kept(".map")):
        path.unlink()
    assert read(opened, 5 * MIB, 5 * MIB + 9) == DATA[5 * MIB : 5 * MIB + 9]
    assert case.kept() == []


def test_a_copy_that_grows_makes_room(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.source.cache._GROWTH", MIB)
    other = case.put("in/other/source", DATA[::-1])
    cache = case.cache(cache_bytes=len(DATA) + MIB)
    case.open(cache, other).file.ensure(0, len(DATA))
    end(case)
    opened = case.open(cache)
    assert len(case.kept()) == 2

    opened.file.ensure(0, len(DATA))

    assert len(case.kept()) == 1


def test_what_nobody_used_for_long_is_removed_though_no_job_comes(case: Case) -> None:
    copies = Copies(case.settings_with(cache_seconds=50).worker)
    assert copies.tidy() == 0
    case.open()
    age(case.kept()[0], 60)
    assert copies.tidy() == 0, "it is in use"
    end(case)
    age(case.kept()[0], 40)
    assert copies.tidy() == 0
    age(case.kept()[0], 60)
    assert copies.tidy() == 1
    assert case.kept() == case.kept(".map") == []


def test_what_an_earlier_version_left_is_removed_in_time(case: Case) -> None:
    case.open()
    folder = case.kept()[0].parent
    for name in ("f" * 64, "f" * 64 + ".lock", "e" * 64 + ".part"):
        (folder / name).write_bytes(b"old")
        os.utime(folder / name, (1, 1))
    assert Copies(case.settings.worker).tidy() == 2
    assert len(case.kept()) == 1


@pytest.mark.parametrize(
    ("size", "block"),
    [(1, 16), (2**31, 16), (2**31 + 1, 32), (2**32, 32), (2**39, 4096)],
)
def test_the_map_of_a_large_source_stays_small(size: int, block: int) -> None:
    found = cache._layout(Source(kind="upload", key="film", size=size))

    assert found == Layout(size, block * 1024)
    assert found.blocks <= 128 * 1024


def test_a_file_that_was_downloaded_already_becomes_the_copy(case: Case) -> None:
    cache = case.cache()
    path = case.folder / "download"
    path.write_bytes(DATA)

    cache.adopt(case.source, path)
    opened = case.open(cache)

    assert not path.exists()
    assert opened.file.complete
    assert opened.file.path.read_bytes() == DATA
    assert case.proxy.gets == []


def test_an_object_is_the_one_that_the_request_named_or_none(case: Case) -> None:
    bucket = case.settings.blobs.bucket
    named = Source(kind="s3", bucket=bucket, key=case.source.key)
    etag = case.source.etag

    assert case.cache().pin(named.model_copy(update={"etag": etag})).etag == etag
    for other in ({"etag": "0" * 32}, {"etag": etag, "version": "v1"}):
        with pytest.raises(SourceChanged, match="was accepted for"):
            case.cache().pin(named.model_copy(update=other))
