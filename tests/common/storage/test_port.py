"""What every BlobStore does, seen on local files, moto and rclone's S3."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from common.errors import SourceChanged, SourceNotFound
from common.storage.port import PART_BYTES, BlobStore

TYPE = "video/mp4"
MIB = 1024 * 1024


@pytest.fixture
def prefix() -> str:
    return f"out/{uuid4().hex}/"


def put(store: BlobStore, key: str, data: bytes) -> str:
    with store.writer(key, content_type=TYPE) as writer:
        writer.write(data)
        return writer.commit().etag


def get(store: BlobStore, key: str) -> bytes:
    return b"".join(store.read(key))


@pytest.mark.parametrize(
    "size", [0, 1, MIB, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 7]
)
def test_a_blob_of_any_size_when_written_then_the_same_bytes_come_back(
    store: BlobStore, prefix: str, size: int
) -> None:
    data = os.urandom(size)
    with store.writer(prefix + "a.mp4", content_type=TYPE) as writer:
        for at in range(0, size, 777_777):
            writer.write(memoryview(data)[at : at + 777_777])
        info = writer.commit()
    assert info.size == size
    assert store.head(info.key).etag == info.etag
    assert hashlib.sha256(get(store, info.key)).digest() == (
        hashlib.sha256(data).digest()
    )


@pytest.mark.parametrize("size", [10, 2 * PART_BYTES + 1])
def test_a_writer_when_left_without_commit_then_nothing_stays(
    store: BlobStore, prefix: str, size: int
) -> None:
    with store.writer(prefix + "a", content_type=TYPE) as writer:
        writer.write(bytes(size))
    with pytest.raises(SourceNotFound):
        store.head(prefix + "a")
    assert list(store.list(prefix)) == []
    assert store.tidy(prefix, -60) == 0


def test_a_blob_when_not_committed_then_it_is_not_visible(
    store: BlobStore, prefix: str
) -> None:
    with store.writer(prefix + "a", content_type=TYPE) as writer:
        writer.write(bytes(PART_BYTES + 1))
        with pytest.raises(SourceNotFound):
            store.head(prefix + "a")


def test_a_blob_when_written_again_then_it_is_replaced_and_its_pin_differs(
    store: BlobStore, prefix: str
) -> None:
    first = put(store, prefix + "a", b"one")
    second = put(store, prefix + "a", b"two")
    assert first != second
    assert get(store, prefix + "a") == b"two"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (3, 5, b"34"),
        (0, 1, b"0"),
        (9, 99, b"9"),
        (5, 5, b""),
        (10, None, b""),
        (50, 60, b""),
    ],
)
def test_a_range_when_read_then_exactly_these_bytes_come(
    store: BlobStore, prefix: str, start: int, end: int | None, expected: bytes
) -> None:
    put(store, prefix + "a", b"0123456789")
    assert b"".join(store.read(prefix + "a", start=start, end=end)) == expected


def test_a_pin_when_the_blob_changed_then_source_changed(
    store: BlobStore, prefix: str
) -> None:
    pin = put(store, prefix + "a", b"one")
    put(store, prefix + "a", b"two")
    with pytest.raises(SourceChanged):
        store.read(prefix + "a", etag=pin)
    for start, ranged in ((0, False), (1, True)):
        with pytest.raises(SourceChanged):
            store.read(prefix + "a", start=start, end=2, etag=pin, ranged=ranged)


def test_the_file_of_a_blob_is_known_where_it_is_on_this_host(
    store: BlobStore, store_kind: str, prefix: str
) -> None:
    pin = put(store, prefix + "a", b"one")
    path = store.path_of(prefix + "a", etag=pin)
    if store_kind != "local":
        assert path is None
        return
    assert path is not None
    assert path.read_bytes() == b"one"
    put(store, prefix + "a", b"two")
    with pytest.raises(SourceChanged):
        store.path_of(prefix + "a", etag=pin)
    with pytest.raises(SourceNotFound):
        store.path_of(prefix + "none")


def test_an_absent_key_then_source_not_found_by_every_reader(
    store: BlobStore, prefix: str
) -> None:
    with pytest.raises(SourceNotFound):
        store.head(prefix + "none")
    with pytest.raises(SourceNotFound):
        store.read(prefix + "none")
    with pytest.raises(SourceNotFound):
        store.read(prefix + "none", start=5, end=9, ranged=True)
    store.delete(prefix + "none")


def test_a_file_when_put_and_read_then_equal(
    store: BlobStore, prefix: str, tmp_path: Path
) -> None:
    data = os.urandom(PART_BYTES + 5)
    (tmp_path / "file").write_bytes(data)
    info = store.put(prefix + "a", tmp_path / "file", content_type=TYPE)
    assert b"".join(store.read(prefix + "a", etag=info.etag)) == data


def test_a_blob_when_copied_then_either_lives_without_the_other(
    store: BlobStore, prefix: str
) -> None:
    put(store, prefix + "a/1", b"bytes")
    store.copy(prefix + "a/1", prefix + "b/1", size=5)
    store.copy(prefix + "a/1", prefix + "b/1", size=5)
    store.delete(prefix + "a/1")
    assert get(store, prefix + "b/1") == b"bytes"


@pytest.mark.parametrize(("name", "size"), [("none", 5), ("a", 4)])
def test_a_blob_that_is_another_or_none_is_not_copied(
    store: BlobStore, prefix: str, name: str, size: int
) -> None:
    put(store, prefix + "a", b"bytes")
    with pytest.raises(SourceNotFound):
        store.copy(prefix + name, prefix + "b", size=size)


def test_a_prefix_when_listed_then_in_key_order_and_alone(
    store: BlobStore, prefix: str
) -> None:
    names = ["a/b", "a-b", "a/c/d", "b"]
    for name in [*names, "x"]:
        put(store, prefix + name, name.encode())
    assert [i.key for i in store.list(prefix + "a")] == [
        prefix + name for name in ("a-b", "a/b", "a/c/d")
    ]
    assert {i.size for i in store.list(prefix + "a/")} == {3, 5}


def test_a_prefix_when_listed_after_a_key_then_only_what_follows_it(
    store: BlobStore, prefix: str
) -> None:
    for name in ("a-b", "a/b", "a/c/d", "b"):
        put(store, prefix + name, b"x")
    found = [i.key for i in store.list(prefix, after=prefix + "a/b")]
    assert found == [prefix + name for name in ("a/c/d", "b")]


def test_a_prefix_when_deleted_then_its_neighbours_stay(
    store: BlobStore, prefix: str
) -> None:
    for name in ("a/1", "a/2/3", "ab"):
        put(store, prefix + name, b"x")
    assert store.delete_prefix(prefix + "a/") == 2
    assert [i.key for i in store.list(prefix)] == [prefix + "ab"]
    store.delete(prefix + "ab")
    assert store.delete_prefix(prefix) == 0


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/../b", "a\0", ".tmp/x"])
def test_a_hostile_key_then_no_writer(store: BlobStore, key: str) -> None:
    with pytest.raises(SourceNotFound):
        store.writer(key, content_type=TYPE)


def test_own_bucket_by_name_then_the_same_blob(store: BlobStore, prefix: str) -> None:
    put(store, prefix + "a", b"own")
    assert b"".join(store.read(prefix + "a", bucket="framemill")) == b"own"
    assert store.head(prefix + "a", bucket="framemill").size == 3


def test_parts_when_joined_in_order_then_one_blob(
    store: BlobStore, prefix: str
) -> None:
    data = os.urandom(2 * PART_BYTES + 100)
    key = prefix + "a"
    ref = store.begin_parts(key, content_type=TYPE)
    tasks = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
    parts = [store.put_part(key, ref, n, task) for n, task in enumerate(tasks, 1)]
    assert [part.number for part in store.list_parts(key, ref)] == [1, 2, 3]
    assert sum(part.size for part in store.list_parts(key, ref)) == len(data)
    info = store.join_parts(key, ref, parts)
    assert info.size == len(data)
    assert get(store, key) == data


def test_a_part_when_put_twice_with_the_same_bytes_then_one_part(
    store: BlobStore, prefix: str
) -> None:
    key = prefix + "a"
    ref = store.begin_parts(key, content_type=TYPE)
    first = store.put_part(key, ref, 1, b"x" * 100)
    assert store.put_part(key, ref, 1, b"x" * 100) == first
    assert list(store.list_parts(key, ref)) == [first]
    assert store.join_parts(key, ref, [first]).size == 100


def test_parts_when_dropped_then_the_reference_is_unknown(
    store: BlobStore, prefix: str
) -> None:
    key = prefix + "a"
    ref = store.begin_parts(key, content_type=TYPE)
    store.put_part(key, ref, 1, b"x" * 100)
    store.drop_parts(key, ref)
    store.drop_parts(key, ref)
    with pytest.raises(SourceNotFound):
        list(store.list_parts(key, ref))
    with pytest.raises(SourceNotFound):
        store.head(key)


def test_unfinished_parts_when_old_then_tidied(
    store: BlobStore, store_kind: str, prefix: str
) -> None:
    key = prefix + "a"
    ref = store.begin_parts(key, content_type=TYPE)
    if store_kind != "moto":  # it dates every upload 2010
        assert store.tidy(prefix, 60) == 0
        assert list(store.list_parts(key, ref)) == []
    assert store.tidy(prefix, -60) >= 1
    with pytest.raises(SourceNotFound):
        list(store.list_parts(key, ref))


def test_a_store_that_answers_then_check_is_silent(store: BlobStore) -> None:
    store.check()


# Local grants are served by the API: tests/api/files/test_routes.py.
on_s3 = pytest.mark.parametrize("store_kind", ["moto", "rclone"], indirect=True)


@on_s3
def test_a_grant_then_served_with_its_type_and_name(
    store: BlobStore, prefix: str
) -> None:
    put(store, prefix + "a", b"0123456789")
    grant = store.grant_get(
        prefix + "a", content_type="image/gif", filename="süß.gif", seconds=60
    )
    answer = requests.get(grant.url, timeout=60)
    assert answer.content == b"0123456789"
    assert answer.headers["Content-Type"] == "image/gif"
    assert "filename*=UTF-8''s%C3%BC%C3%9F.gif" in answer.headers["Content-Disposition"]


@on_s3
def test_a_grant_for_head_then_head_answers(store: BlobStore, prefix: str) -> None:
    put(store, prefix + "a", b"0123456789")
    grant = store.grant_get(
        prefix + "a", content_type="image/gif", filename="a", seconds=60, head=True
    )
    answer = requests.head(grant.url, timeout=60)
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, "10")


@on_s3
def test_a_grant_to_put_then_the_blob_is_there(store: BlobStore, prefix: str) -> None:
    grant = store.grant_put(prefix + "a", content_type=TYPE, seconds=60, size=5)
    answer = requests.put(
        grant.url, data=b"bytes", headers=dict(grant.headers), timeout=10
    )
    assert answer.status_code == 200
    assert get(store, prefix + "a") == b"bytes"


@on_s3
def test_a_grant_for_a_part_then_its_etag_joins(store: BlobStore, prefix: str) -> None:
    key = prefix + "a"
    ref = store.begin_parts(key, content_type=TYPE)
    grant = store.grant_part(key, ref, 1, size=5, seconds=60)
    answer = requests.put(grant.url, data=b"bytes", timeout=60)
    assert answer.status_code == 200
    parts = list(store.list_parts(key, ref))
    assert answer.headers["ETag"].strip('"') == parts[0].etag
    store.join_parts(key, ref, parts)
    assert get(store, key) == b"bytes"


@pytest.mark.parametrize("key", ["a//b", "./a", "/a"])
def test_a_key_that_no_file_can_have_then_told_and_never_forbidden(
    store: BlobStore, key: str, request: pytest.FixtureRequest
) -> None:
    # AWS holds such keys, and moto with it; a folder and rclone do not.
    is_held = "moto" in request.node.name
    assert store.admits(key) == is_held
    assert store.admits("a/b")
    with pytest.raises(SourceNotFound):
        store.head(key)
