"""Resumable uploads by unmodified clients and by hand, with kills between."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from tusclient.client import TusClient

from common.storage.port import PART_BYTES
from tests.api.uploads.context import MIB, OCTETS, TUS, Context, await_true, url_id


def begin(context: Context, size: int, **metadata: str) -> str:
    label = ",".join(
        f"{k} {b64encode(v.encode()).decode()}" for k, v in metadata.items()
    )
    answer = requests.post(
        f"{context.server.url}/v1/tus",
        headers={**TUS, "Upload-Length": str(size), "Upload-Metadata": label},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def patch(url: str, offset: int, data: Any, **headers: str) -> requests.Response:
    told = {**TUS, **OCTETS, "Upload-Offset": str(offset), **headers}
    return requests.patch(url, data=data, headers=told, timeout=60)


def offset_of(url: str) -> int:
    answer = requests.head(url, headers=TUS, timeout=60)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


@pytest.mark.parametrize("chunk", [300_000, 3 * MIB, PART_BYTES, 100 * MIB])
def test_tuspy_when_it_uploads_in_chunks_then_the_same_bytes_and_a_job(
    context: Context, chunk: int
) -> None:
    size = 2 * MIB + 1 if chunk == 300_000 else 2 * PART_BYTES + 12_345
    data = os.urandom(size)
    client = TusClient(f"{context.server.url}/v1/tus")
    uploader = client.uploader(
        file_stream=io.BytesIO(data),
        chunk_size=chunk,
        metadata={"filename": "süß.mp4", "filetype": "video/mp4", "job": "{}"},
        upload_checksum=chunk == PART_BYTES,
    )
    uploader.upload()
    upload_id = url_id(uploader.url)
    assert context.blob(upload_id) == data
    assert context.leftovers(upload_id) == [f"in/{upload_id}/source"]
    job = context.store.get(upload_id)
    assert job is not None
    assert (job.source.name, job.source.size) == ("süß.mp4", size)
    assert job.source.etag == context.blobs.head(f"in/{upload_id}/source").etag


def test_tuspy_when_the_api_is_killed_then_it_resumes_where_the_server_says(
    context: Context,
) -> None:
    data = os.urandom(2 * PART_BYTES + 777)
    client = TusClient(f"{context.server.url}/v1/tus")
    first = client.uploader(file_stream=io.BytesIO(data), chunk_size=MIB)
    for _ in range(9):
        first.upload_chunk()
    assert first.url is not None
    context.server.kill()
    context.server.begin()
    assert offset_of(first.url) == 9 * MIB
    second = client.uploader(
        file_stream=io.BytesIO(data), url=first.url, chunk_size=4 * MIB
    )
    assert second.offset == 9 * MIB
    second.upload()
    assert context.blob(url_id(first.url)) == data


def slowly(
    data: bytes, gate: threading.Event, reached: threading.Event
) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    reached.set()
    gate.wait(60)
    yield data[len(data) // 2 :]


def test_the_api_when_killed_inside_a_patch_then_the_offset_is_true(
    context: Context,
) -> None:
    data = os.urandom(3 * PART_BYTES)
    url = begin(context, len(data))
    gate, reached = threading.Event(), threading.Event()
    outcome: list[Any] = []

    def send() -> None:
        try:
            outcome.append(patch(url, 0, slowly(data, gate, reached)).status_code)
        except requests.RequestException as error:
            outcome.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    assert reached.wait(60)
    await_true(lambda: context.uploads.get(url_id(url), None).offset == PART_BYTES)
    context.server.kill()
    gate.set()
    thread.join(60)
    context.server.begin()
    at = offset_of(url)
    assert at == PART_BYTES
    assert patch(url, at, data[at:]).status_code == 204
    assert context.blob(url_id(url)) == data


def test_two_writers_when_at_once_then_the_newer_wins_and_the_bytes_are_its(
    context: Context,
) -> None:
    mine, other = os.urandom(PART_BYTES + 5), os.urandom(PART_BYTES + 5)
    url = begin(context, len(mine))
    gate, reached = threading.Event(), threading.Event()
    old: list[int] = []
    thread = threading.Thread(
        target=lambda: old.append(
            patch(url, 0, slowly(other[:200_000], gate, reached)).status_code
        )
    )
    thread.start()
    assert reached.wait(60)
    await_true(lambda: context.uploads.get(url_id(url), None).fence == 1)
    assert patch(url, 0, mine).status_code == 204
    gate.set()
    thread.join(60)
    assert old == [409]
    assert context.blob(url_id(url)) == mine


@pytest.mark.parametrize("sent", [400_000, 1000])
def test_a_client_when_it_breaks_off_then_what_came_counts(
    context: Context, sent: int
) -> None:
    data = os.urandom(MIB)
    url = begin(context, len(data))
    host = ("127.0.0.1", context.server.port)
    with socket.create_connection(host, 60) as raw:
        head = f"PATCH /v1/tus/{url_id(url)} HTTP/1.1\r\nHost: localhost\r\n"
        for name, value in {**TUS, **OCTETS, "Upload-Offset": "0"}.items():
            head += f"{name}: {value}\r\n"
        head += f"Content-Length: {len(data)}\r\n\r\n"
        raw.sendall(head.encode() + data[:sent])
    await_true(lambda: offset_of(url) == sent)
    assert patch(url, sent, data[sent:]).status_code == 204
    assert context.blob(url_id(url)) == data


def test_bytes_below_a_part_when_continued_then_only_the_newest_rest_is_kept(
    context: Context,
) -> None:
    url = begin(context, 3000)
    for offset in (0, 1000):
        assert patch(url, offset, b"x" * 1000).status_code == 204

    upload = context.uploads.get(url_id(url), None)

    rests = [key for key in context.leftovers(url_id(url)) if "/rest-" in key]
    assert rests == [upload.rest]


@pytest.mark.parametrize("offset", [1, 5, 11])
def test_a_wrong_offset_then_409_and_nothing_changes(
    context: Context, offset: int
) -> None:
    url = begin(context, 20)
    assert patch(url, offset, b"x").status_code == 409
    assert offset_of(url) == 0


def test_more_bytes_than_announced_then_413(context: Context) -> None:
    url = begin(context, 5)
    assert patch(url, 0, b"123456").status_code == 413
    assert patch(url, 0, iter([b"123", b"456"])).status_code == 413


def test_a_checksum_when_wrong_then_460_and_none_of_the_bytes_count(
    context: Context,
) -> None:
    data = os.urandom(PART_BYTES + 10)
    url = begin(context, len(data))
    right = b64encode(hashlib.sha1(data).digest()).decode()  # noqa: S324 - tus names it
    wrong = b64encode(b"x" * 20).decode()
    refused = patch(url, 0, data[::-1], **{"Upload-Checksum": f"sha1 {wrong}"})
    assert refused.status_code == 460
    assert offset_of(url) == 0
    unknown = patch(url, 0, data, **{"Upload-Checksum": f"crc9 {right}"})
    assert unknown.status_code == 400
    taken = patch(url, 0, data, **{"Upload-Checksum": f"sha1 {right}"})
    assert taken.status_code == 204
    assert context.blob(url_id(url)) == data


def test_creation_with_upload_then_one_request_is_enough(context: Context) -> None:
    answer = requests.post(
        f"{context.server.url}/v1/tus",
        data=b"all of it",
        headers={**TUS, **OCTETS, "Upload-Length": "9"},
        timeout=60,
    )
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "9")
    assert context.blob(url_id(answer.headers["Location"])) == b"all of it"


def test_an_empty_upload_then_an_empty_blob(context: Context) -> None:
    assert context.blob(url_id(begin(context, 0))) == b""


def test_termination_then_404_and_nothing_left(context: Context) -> None:
    url = begin(context, 1000)
    assert patch(url, 0, b"x" * 500).status_code == 204
    answer = requests.delete(url, headers=TUS, timeout=60)
    assert answer.status_code == 204
    assert requests.head(url, headers=TUS, timeout=60).status_code == 404
    assert context.leftovers(url_id(url)) == []


def test_head_then_length_metadata_and_no_store(context: Context) -> None:
    url = begin(context, 7, filename="a b.mp4")
    told = requests.head(url, headers=TUS, timeout=60).headers
    assert told["Upload-Length"] == "7"
    assert told["Upload-Metadata"] == "filename YSBiLm1wNA=="
    assert told["Cache-Control"] == "no-store"
    assert told["Tus-Resumable"] == "1.0.0"
    assert told["Upload-Expires"].endswith("GMT")


def test_options_then_what_the_server_can(context: Context) -> None:
    told = requests.options(f"{context.server.url}/v1/tus", timeout=60)
    assert told.status_code == 204
    assert told.headers["Tus-Version"] == "1.0.0"
    assert "creation-with-upload" in told.headers["Tus-Extension"]
    assert "sha1" in told.headers["Tus-Checksum-Algorithm"]


def test_a_proxy_s_way_by_post_then_the_named_method(context: Context) -> None:
    url = begin(context, 3)
    told = {**TUS, **OCTETS, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    answer = requests.post(url, data=b"abc", headers=told, timeout=60)
    assert answer.status_code == 204
    assert context.blob(url_id(url)) == b"abc"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 412),
        ({"Tus-Resumable": "0.2.2"}, 412),
        (TUS, 400),
        ({**TUS, "Upload-Length": "-1"}, 400),
        ({**TUS, "Upload-Length": "x"}, 400),
        ({**TUS, "Upload-Length": "99999999999999"}, 413),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "a ***"}, 400),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "job eA=="}, 400),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "job eyJ4IjoxfQ=="}, 422),
    ],
)
def test_a_malformed_creation_then_4xx(
    context: Context, headers: dict[str, str], status: int
) -> None:
    answer = requests.post(f"{context.server.url}/v1/tus", headers=headers, timeout=60)
    assert answer.status_code == status
