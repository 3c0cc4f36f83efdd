"""A file's name is for people, whoever wrote it; a key is what storage can hold."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.acceptance.service import HttpError
from tests.conftest import SAMPLE

FORM = "multipart/form-data; boundary=B"
STILL = [{"kind": "thumbnail"}]


def post(service, disposition: bytes) -> dict:
    """Upload the sample with its disposition as these bytes."""
    head = b'--B\r\nContent-Disposition: form-data; name="file"; ' + disposition
    fields = b'--B\r\nContent-Disposition: form-data; name="outputs"\r\n\r\n'
    fields += b'[{"kind":"thumbnail"}]\r\n'
    body = fields + head + b"\r\n\r\n" + SAMPLE.read_bytes() + b"\r\n--B--\r\n"
    return service.ask("/v1/jobs", body, Content_Type=FORM).json()


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b"filename*=UTF-8''\"my film.mp4\"", "my film.mp4"),
        (b'filename="f.mp4"; filename*=UTF-8\'\'"fil%C3%BC.mp4"', "fil\u00fc.mp4"),
        (b'filename="caf\xe9.mp4"', "caf\u00e9.mp4"),
        (b"filename*=UTF-8''caf%E9.mp4", "caf\u00e9.mp4"),
        (b'filename="C:\\films\\new.mp4"', "C:\\films\\new.mp4"),
        (b"filename=my film.mp4", "my film.mp4"),
    ],
)
def test_a_name_is_shown_as_its_sender_meant_it(service, disposition, name):
    job = post(service, disposition)
    assert job["source"]["name"] == name


def test_a_latin_1_name_of_a_tus_upload_is_repaired(service):
    told = b64encode(b"caf\xe9.mp4").decode()
    created = service.ask(
        "/v1/tus",
        SAMPLE.read_bytes(),
        Tus_Resumable="1.0.0",
        Upload_Length=str(SAMPLE.stat().st_size),
        Upload_Metadata=f"filename {told},job e30=",
        Content_Type="application/offset+octet-stream",
    )
    upload = created.headers["location"].rpartition("/")[2]
    job = service.ask(f"/v1/jobs/{upload}").json()
    assert job["source"]["name"] == "caf\u00e9.mp4"


@pytest.mark.parametrize("key", ["clips//sample.mp4", "./clips/sample.mp4", "/clips"])
def test_a_key_that_storage_cannot_hold_is_refused_with_its_place(service, key):
    source = {"s3": {"bucket": "framemill", "key": key}}
    with pytest.raises(HttpError) as refused:
        service.ask("/v1/jobs", {"source": source, "outputs": STILL})
    assert refused.value.status == 422
    (fault,) = refused.value.problem["faults"]
    assert fault["pointer"] == "/source/s3/key"
    assert fault["detail"] == "the storage of this service cannot hold this key"


def test_a_plain_key_is_read(service):
    source = {"s3": {"bucket": "framemill", "key": "clips/sample.mp4"}}
    job = service.ask("/v1/jobs", {"source": source, "outputs": STILL}).json()
    assert service.wait(job)["status"] == "completed"
