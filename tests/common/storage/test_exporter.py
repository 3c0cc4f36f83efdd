"""Copies of results in a caller's bucket, seen on moto and rclone's S3."""

from __future__ import annotations

from uuid import uuid4

import boto3
import pytest
import requests

from common.errors import DestinationForbidden, SourceNotFound, StorageUnavailable
from common.model import Artifact, Destination
from common.settings.load import Settings
from common.storage import connect
from common.storage.port import PART_BYTES, BlobStore
from tests.common.storage.conftest import KEYS, s3_settings

TARGET = "sources"  # a bucket that both servers have, and that is not ours


@pytest.fixture(params=["moto", "rclone"])
def store_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stored(store: BlobStore, size: int = 5) -> Artifact:
    key = f"out/{uuid4().hex}/poster/1/poster.jpg"
    with store.writer(key, content_type="image/jpeg") as writer:
        writer.write(bytes(size))
        writer.commit()
    return Artifact(
        name="poster.jpg",
        key=key,
        content_type="image/jpeg",
        bytes=size,
        sha256="0" * 64,
    )


def export(store: BlobStore, artifact: Artifact, **more: object) -> str:
    target = Destination.model_validate(
        {"bucket": TARGET, "prefix": "films/" + uuid4().hex, **more}
    )
    place = target.place("j" * 32, "poster", artifact.name)
    store.export(artifact, target, place)
    return place.key


def raw(settings: Settings) -> object:
    return boto3.client(
        "s3",
        endpoint_url=settings.s3.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
    )


@pytest.mark.parametrize("size", [0, 5, PART_BYTES + 1])
def test_a_result_when_exported_then_its_bytes_are_in_the_other_bucket(
    store: BlobStore, size: int
) -> None:
    key = export(store, stored(store, size))
    copy = b"".join(store.read(key, bucket=TARGET))
    assert copy == bytes(size)


def test_a_result_when_exported_twice_then_nothing_changes(store: BlobStore) -> None:
    artifact = stored(store)
    prefix = uuid4().hex
    first = export(store, artifact, prefix=prefix)
    again = export(store, artifact, prefix=prefix)
    assert first == again
    assert len(list(store.list(prefix, bucket=TARGET))) == 1


def test_a_copy_has_the_type_and_the_caching_that_were_asked_for(
    store: BlobStore, settings: Settings
) -> None:
    key = export(store, stored(store), cache_control="public, max-age=60")
    head = raw(settings).head_object(Bucket=TARGET, Key=key)  # type: ignore[attr-defined]
    assert head["ContentType"] == "image/jpeg"
    assert head["CacheControl"] == "public, max-age=60"


def test_a_copy_has_its_acl_and_its_tags(moto_endpoint: str) -> None:
    # rclone takes both and keeps neither, which the documentation says.
    settings = s3_settings(moto_endpoint)
    store = connect(settings)
    key = export(
        store, stored(store), acl="public-read", tags={"film": "7", "a b": "c/d+e"}
    )
    client = raw(settings)
    tags = client.get_object_tagging(Bucket=TARGET, Key=key)["TagSet"]  # type: ignore[attr-defined]
    assert {one["Key"]: one["Value"] for one in tags} == {"film": "7", "a b": "c/d+e"}
    assert requests.get(f"{moto_endpoint}/{TARGET}/{key}", timeout=60).ok


def test_a_copy_is_private_unless_it_was_asked_for(moto_endpoint: str) -> None:
    settings = s3_settings(moto_endpoint)
    store = connect(settings)
    key = export(store, stored(store))
    grants = raw(settings).get_object_acl(Bucket=TARGET, Key=key)["Grants"]  # type: ignore[attr-defined]
    assert [one["Grantee"]["Type"] for one in grants] == ["CanonicalUser"]


def test_acl_and_tags_do_not_stop_a_store_that_knows_none(
    rclone_endpoint: str,
) -> None:
    store = connect(s3_settings(rclone_endpoint))
    key = export(store, stored(store), acl="public-read", tags={"film": "7"})
    assert store.head(key, bucket=TARGET).size == 5


def test_a_bucket_that_is_none_is_a_clear_refusal(store: BlobStore) -> None:
    with pytest.raises(DestinationForbidden, match="s3://nobody/"):
        export(store, stored(store), bucket="nobody")


def test_a_result_that_is_gone_is_told_from_a_refusal(store: BlobStore) -> None:
    artifact = stored(store)
    store.delete(artifact.key)
    with pytest.raises(SourceNotFound):
        export(store, artifact)


def test_a_storage_that_is_away_is_tried_again() -> None:
    store = connect(s3_settings("http://127.0.0.1:1"))
    artifact = Artifact(
        name="a", key="out/a", content_type="image/jpeg", bytes=1, sha256="0" * 64
    )
    with pytest.raises(StorageUnavailable):
        export(store, artifact)
