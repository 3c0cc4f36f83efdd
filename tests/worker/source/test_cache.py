"""The local copy of a source."""

import hashlib
import os
import time

import pytest

from common import storage as blobs
from common.errors import SourceChanged, SourceNotFound, TooLarge
from common.model import Source
from common.settings.load import Settings
from worker.source.whole import SourceCache


@pytest.fixture
def settings(tmp_path):
    return Settings.model_validate(
        {
            "blobs": {"backend": "local", "path": tmp_path / "blobs"},
            "worker": {"scratch": tmp_path / "scratch", "cache_bytes": 2_500_000},
            "limits": {"source_bytes": 1_500_000},
            "api": {"secret": "x" * 32},
        }
    )


@pytest.fixture
def store(settings):
    return blobs.connect(settings)


def put(store, tmp_path, key, size):
    path = tmp_path / "new"
    path.write_bytes(b"v" * size)
    store.put(key, path, content_type="video/mp4")
    return Source(kind="upload", key=key)


def test_a_pinned_source_arrives_whole(settings, store, tmp_path):
    sources = SourceCache(settings, store)
    pinned = sources.pin(put(store, tmp_path, "in/a/source", 1000))

    sources.fetch(pinned, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == b"v" * 1000
    assert pinned.size == 1000


def test_the_second_task_does_not_fetch_again(settings, store, tmp_path):
    sources = SourceCache(settings, store)
    pinned = sources.pin(put(store, tmp_path, "in/a/source", 1000))
    sources.fetch(pinned, tmp_path / "first")
    store.delete("in/a/source")

    sources.fetch(pinned, tmp_path / "second")

    assert (tmp_path / "second").read_bytes() == b"v" * 1000


def test_a_source_that_was_brought_is_still_what_was_pinned(settings, store, tmp_path):
    sources = SourceCache(settings, store)
    source = put(store, tmp_path, "in/a/source", 1000)
    pinned = sources.pin(source)
    sources.fetch(pinned, tmp_path / "first")
    sources.drop(pinned)

    sources.fetch(pinned, tmp_path / "second")

    assert sources.pin(source) == pinned


def test_a_source_over_the_limit_is_refused_with_the_settings_name(
    settings, store, tmp_path
):
    source = put(store, tmp_path, "in/a/source", 1_500_001)

    with pytest.raises(TooLarge, match="FRAMEMILL_LIMITS_SOURCE_BYTES"):
        SourceCache(settings, store).pin(source)


def test_a_source_that_is_not_there_is_not_found(settings, store):
    with pytest.raises(SourceNotFound):
        SourceCache(settings, store).pin(Source(kind="upload", key="in/none/source"))


def test_a_source_that_changed_after_the_pin_is_refused(settings, store, tmp_path):
    sources = SourceCache(settings, store)
    pinned = sources.pin(put(store, tmp_path, "in/a/source", 1000))
    put(store, tmp_path, "in/a/source", 900)

    with pytest.raises(SourceChanged):
        sources.fetch(pinned, tmp_path / "copy")


def test_the_cache_makes_room_and_files_in_use_stay(settings, store, tmp_path):
    sources = SourceCache(settings, store)
    for name in "abc":
        pinned = sources.pin(put(store, tmp_path, f"in/{name}/source", 1_000_000))
        sources.fetch(pinned, tmp_path / name)

    kept = [p for p in (tmp_path / "scratch" / "cache").iterdir() if not p.suffix]
    assert sum(path.stat().st_size for path in kept) <= 2_500_000
    assert all((tmp_path / name).stat().st_size == 1_000_000 for name in "abc")


def test_a_dropped_source_leaves_nothing(settings, store, tmp_path):
    sources = SourceCache(settings, store)
    pinned = sources.pin(put(store, tmp_path, "in/a/source", 1000))
    sources.fetch(pinned, tmp_path / "copy")

    sources.drop(pinned)

    assert list((tmp_path / "scratch" / "cache").iterdir()) == []


def test_the_cache_gives_up_first_what_was_used_longest_ago(settings, store, tmp_path):
    sources = SourceCache(settings, store)
    now = time.time()
    pinned = {}
    for age, name in enumerate("ab"):
        pinned[name] = sources.pin(put(store, tmp_path, f"in/{name}/source", 1_000_000))
        sources.fetch(pinned[name], tmp_path / name)
        lock = _kept(settings, pinned[name]).with_suffix(".lock")
        os.utime(lock, (now - 100 + age, now - 100 + age))
    sources.fetch(pinned["a"], tmp_path / "a again")  # now b was used longest ago

    third = sources.pin(put(store, tmp_path, "in/c/source", 1_000_000))
    sources.fetch(third, tmp_path / "c")

    assert _kept(settings, pinned["a"]).exists()
    assert not _kept(settings, pinned["b"]).exists()


def test_what_nobody_used_for_an_hour_leaves_the_cache_though_there_is_room(
    settings, store, tmp_path
):
    sources = SourceCache(settings, store)
    idle, recent = (
        sources.pin(put(store, tmp_path, f"in/{name}/source", 1000)) for name in "ab"
    )
    for pinned, age in ((idle, 3700), (recent, 3500)):
        sources.fetch(pinned, tmp_path / (pinned.key or "").replace("/", "-"))
        then = time.time() - age
        os.utime(_kept(settings, pinned).with_suffix(".lock"), (then, then))

    third = sources.pin(put(store, tmp_path, "in/c/source", 1000))
    sources.fetch(third, tmp_path / "c")

    assert not _kept(settings, idle).exists()
    assert _kept(settings, recent).exists()


def _kept(settings, pinned):
    """Return where the cache keeps a source: under the digest of its pin."""
    pin = "\n".join([pinned.bucket or "", pinned.key, pinned.etag])
    name = hashlib.sha256(pin.encode()).hexdigest()
    return settings.worker.scratch / "cache" / name
