"""What an S3 that fails does to a reader and a writer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from common.errors import (
    DestinationForbidden,
    FramemillError,
    SourceChanged,
    SourceForbidden,
    StorageDenied,
    StorageUnavailable,
)
from common.model import Artifact, Destination, ObjectName
from common.storage import connect
from common.storage.port import PART_BYTES, BlobStore, RangesIgnored
from tests.common.storage.conftest import s3_settings
from tests.ports import free_port

DATA = bytes(range(256)) * 4096
Handler = Callable[[BaseHTTPRequestHandler], None]


class Faulty:
    """A server that answers each request by the next of its ``turns``."""

    def __init__(self) -> None:
        self.turns: list[Handler] = []
        self.requests: list[str] = []
        outer = self

        class Requests(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def turn(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(size)
                outer.requests.append(f"{self.command} {self.headers.get('Range')}")
                (outer.turns.pop(0) if outer.turns else status(500))(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = turn  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
        serve = self.server.serve_forever
        threading.Thread(target=serve, args=(0.02,), daemon=True).start()

    @property
    def store(self) -> BlobStore:
        return connect(s3_settings(f"http://127.0.0.1:{self.server.server_port}"))


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    server = Faulty()
    yield server
    server.server.shutdown()
    server.server.server_close()


def status(code: int) -> Handler:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def by_bucket(**codes: int) -> Handler:
    """Answer by the bucket that is asked: boto3 may look at one by itself."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        status(codes[request.path.split("/")[1].split("?")[0]])(request)

    return answer


def refusal(code: int, name: str) -> Handler:
    """Refuse with a code of S3's."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        text = f"<Error><Code>{name}</Code></Error>".encode()
        request.send_response(code)
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    return answer


def body(data: bytes, start: int, sent: int, etag: str = "one") -> Handler:
    """Promise ``data[start:]`` and break off after ``sent`` bytes."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(data) - start))
        request.send_header("ETag", f'"{etag}"')
        if start:
            told = f"bytes {start}-{len(data) - 1}/{len(data)}"
            request.send_header("Content-Range", told)
        request.end_headers()
        request.wfile.write(data[start : start + sent])
        request.close_connection = True

    return answer


def test_a_connection_when_it_breaks_in_the_body_then_reading_goes_on_there(
    faulty: Faulty,
) -> None:
    faulty.turns = [body(DATA, 0, 300_000), body(DATA, 0, len(DATA))]
    # The second answer ignores the range, as some stores do.
    assert b"".join(faulty.store.read("in/x")) == DATA


def test_a_range_that_must_come_alone_is_refused_from_a_storage_without_ranges(
    faulty: Faulty,
) -> None:
    faulty.turns = [body(DATA, 0, len(DATA))]
    with pytest.raises(RangesIgnored):
        faulty.store.read("in/x", start=5, end=9, ranged=True)


def test_another_range_than_was_asked_for_is_not_taken_for_it(faulty: Faulty) -> None:
    faulty.turns = [body(DATA, 7, len(DATA))]
    with pytest.raises(StorageUnavailable, match="another range"):
        faulty.store.read("in/x", start=5, end=9)


def test_an_object_when_it_changes_while_read_then_source_changed(
    faulty: Faulty,
) -> None:
    faulty.turns = [body(DATA, 0, 300_000), body(DATA, 0, len(DATA), etag="two")]
    with pytest.raises(SourceChanged):
        list(faulty.store.read("in/x"))


def test_a_body_when_it_never_ends_then_unavailable(faulty: Faulty) -> None:
    faulty.turns = [body(DATA, 0, 0) for _ in range(20)]
    with pytest.raises(StorageUnavailable):
        list(faulty.store.read("in/x"))
    assert len(faulty.requests) < 10


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, StorageDenied),
        (401, StorageDenied),
        (403, StorageDenied),
        (412, SourceChanged),
        (503, StorageUnavailable),
    ],
)
def test_a_refusal_then_its_error(
    faulty: Faulty, code: int, error: type[FramemillError]
) -> None:
    faulty.turns = [status(code) for _ in range(8)]
    with pytest.raises(error):
        faulty.store.read("in/x")


READS: dict[str, Callable[[BlobStore], object]] = {
    "head": lambda store: store.head("new/a.mp4", bucket="films"),
    "read": lambda store: store.read("new/a.mp4", bucket="films"),
    "list": lambda store: list(store.list("new/", bucket="films")),
}


@pytest.mark.parametrize("ask", READS.values(), ids=READS)
def test_a_bad_request_of_a_source_is_final_and_names_the_place(
    faulty: Faulty, ask: Callable[[BlobStore], object]
) -> None:
    faulty.turns = [by_bucket(films=400, framemill=200) for _ in range(4)]
    with pytest.raises(SourceForbidden, match=r"s3://films/new/.*400") as caught:
        ask(faulty.store)
    assert not caught.value.retryable


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize("ask", READS.values(), ids=READS)
def test_where_our_own_bucket_refuses_too_no_source_is_to_blame(
    faulty: Faulty, ask: Callable[[BlobStore], object], code: int
) -> None:
    """A HEAD has no code that tells wrong keys from a bucket that is not ours."""
    faulty.turns = [by_bucket(films=code, framemill=403) for _ in range(4)]
    with pytest.raises(StorageDenied) as caught:
        ask(faulty.store)
    assert caught.value.retryable
    assert faulty.requests[-1].startswith("HEAD")


def test_where_our_own_bucket_is_away_a_refusal_is_not_believed(faulty: Faulty) -> None:
    faulty.turns = [status(403)]
    with pytest.raises(StorageUnavailable):
        faulty.store.head("new/a.mp4", bucket="films")


@pytest.mark.parametrize(
    "code",
    ["InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"],
)
def test_a_refusal_that_names_our_keys_is_ours_at_once(
    faulty: Faulty, code: str
) -> None:
    faulty.turns = [refusal(403, code)]
    with pytest.raises(StorageDenied, match=code):
        faulty.store.read("new/a.mp4", bucket="films")


def test_a_copy_that_our_keys_may_not_make_is_no_refusal_of_the_destination(
    faulty: Faulty,
) -> None:
    made = Artifact(
        name="a.jpg", key="out/a.jpg", content_type="image/jpeg", bytes=1, sha256="0"
    )
    place = ObjectName(bucket="theirs", key="films/a.jpg")
    target = Destination(bucket="theirs", prefix="films")
    faulty.turns = [status(403), status(403)]
    with pytest.raises(StorageDenied):
        faulty.store.export(made, target, place)


@pytest.mark.parametrize(("hours", "code"), [(0, 200), (1, 200), (-1, 403)])
def test_a_check_compares_the_clocks_whatever_the_answer_is(
    faulty: Faulty, hours: int, code: int
) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response_only(code)
        there = time.time() - hours * 3600
        request.send_header("Date", request.date_time_string(there))
        request.send_header("Content-Length", "0")
        request.end_headers()

    faulty.turns = [answer]
    store = faulty.store
    assert store.clock_skew() is None
    with suppress(StorageDenied):
        store.check()
    assert store.clock_skew() == pytest.approx(hours * 3600, abs=5)


def test_a_bad_request_of_a_copy_is_final_and_names_the_place(faulty: Faulty) -> None:
    faulty.turns = [status(400), status(200)]
    made = Artifact(
        name="a.jpg", key="out/a.jpg", content_type="image/jpeg", bytes=1, sha256="0"
    )
    place = ObjectName(bucket="theirs", key="films/a.jpg")
    target = Destination(bucket="theirs", prefix="films")
    with pytest.raises(DestinationForbidden, match=r"s3://theirs/films/a.jpg.*400"):
        faulty.store.export(made, target, place)
    # The copy is tried once; then our own bucket is asked whether it still serves us.
    assert [line.split()[0] for line in faulty.requests] == ["PUT", "HEAD"]


def test_a_list_of_uploads_that_finds_none_is_empty(faulty: Faulty) -> None:
    faulty.turns = [refusal(404, "NoSuchUpload")]
    assert faulty.store.tidy("in/", 0) == 0
    assert len(faulty.requests) == 1


def test_a_list_of_uploads_that_is_refused_is_an_error(faulty: Faulty) -> None:
    faulty.turns = [refusal(501, "NotImplemented") for _ in range(8)]
    with pytest.raises(StorageUnavailable):
        faulty.store.tidy("in/", 0)


def test_expired_credentials_are_waited_for(faulty: Faulty) -> None:
    faulty.turns = [refusal(400, "ExpiredToken") for _ in range(8)]
    with pytest.raises(StorageUnavailable):
        faulty.store.read("in/x")


def test_nobody_listening_then_unavailable_and_retryable() -> None:
    store = connect(s3_settings(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(StorageUnavailable) as caught:
        store.check()
    assert caught.value.retryable


def test_a_part_when_it_fails_for_good_then_the_upload_is_aborted(
    faulty: Faulty,
) -> None:
    name = b"InitiateMultipartUploadResult"
    begun = b"<%s><UploadId>u</UploadId></%s>" % (name, name)

    def begin(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(begun)))
        request.end_headers()
        request.wfile.write(begun)

    faulty.turns = [begin, status(403), status(204)]
    with (
        pytest.raises(StorageDenied),
        faulty.store.writer("in/x", content_type="x/y") as writer,
    ):
        write_and_commit(writer)
    assert [line.split()[0] for line in faulty.requests] == ["POST", "PUT", "DELETE"]


def write_and_commit(writer: object) -> None:
    writer.write(bytes(PART_BYTES))  # type: ignore[attr-defined]
    writer.commit()  # type: ignore[attr-defined]
