"""The streaming multipart parser: forms well made, cut anywhere, and hostile."""

from __future__ import annotations

import hashlib
import io
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requests_toolbelt import MultipartEncoder

from api.http.multipart import Form, receive
from common.errors import BadRequest, BodyTooLarge, Invalid
from common.settings.sections import Limits
from common.storage.port import BlobInfo

KNOWN = ("outputs", "metadata")
LIMITS = Limits(source_bytes=100_000, field_bytes=2000)
TYPE = "multipart/form-data; boundary=B"


class Writer:
    """Remembers what was written and how it ended."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended: str | None = None

    def write(self, chunk: bytes | memoryview) -> None:
        assert self.ended is None
        self.data += chunk

    def commit(self) -> BlobInfo:
        self.ended = "committed"
        return BlobInfo("in/x", len(self.data), "etag")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = self.ended or "aborted"


class Chunks:
    """A body that comes in given chunks."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = [chunk for chunk in chunks if chunk]

    def read(self, _size: int, /) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""


def parse(
    *chunks: bytes, content_type: str = TYPE, limits: Limits = LIMITS
) -> tuple[Form, Writer]:
    writer = Writer()
    try:
        form = receive(
            Chunks(list(chunks)),
            content_type,
            open_writer=lambda _type: writer,
            known=KNOWN,
            limits=limits,
        )
    except BaseException:
        assert writer.ended != "committed"
        raise
    return form, writer


def part(
    name: str, data: bytes, *, filename: str | None = None, kind: str = ""
) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    if kind:
        head += f"\r\nContent-Type: {kind}"
    return b"--B\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"


END = b"--B--\r\n"
FILE = part("file", b"\r\nab\r\n--c\r\n\r", filename="clip.mp4", kind="video/mp4")
OUTPUTS = part("outputs", b'[{"kind":"thumbnail"}]')
TYPED = part("metadata", b"{}", kind="application/json")


def test_a_form_then_file_and_fields_are_told_apart() -> None:
    form, writer = parse(OUTPUTS + FILE + TYPED + END)
    assert form.fields == {"outputs": '[{"kind":"thumbnail"}]', "metadata": "{}"}
    assert form.file is not None
    assert bytes(writer.data) == b"\r\nab\r\n--c\r\n\r"
    assert form.file.sha256 == hashlib.sha256(writer.data).hexdigest()
    assert (form.file.name, form.file.content_type) == ("clip.mp4", "video/mp4")
    assert writer.ended == "committed"


@pytest.mark.parametrize("body", [OUTPUTS + FILE + END, FILE + OUTPUTS + END])
def test_fields_before_or_after_the_file_then_equal(body: bytes) -> None:
    assert parse(body)[0].fields == {"outputs": '[{"kind":"thumbnail"}]'}


def test_a_file_part_with_a_type_and_no_filename_then_still_the_file() -> None:
    form, writer = parse(part("file", b"bytes", kind="video/mp4") + END)
    assert form.file is not None
    assert (form.file.name, bytes(writer.data)) == (None, b"bytes")


@pytest.mark.parametrize(
    ("rest", "name"),
    [
        (b"filename*=UTF-8''\"my%20film.mp4\"", "my film.mp4"),  # Postman
        (b'filename="x"; filename*=UTF-8\'\'"a;b.mp4"', "a;b.mp4"),
        (b'filename="caf\xe9.mp4"', "caf\u00e9.mp4"),
        (b"filename*=UTF-8''caf%E9.mp4", "caf\u00e9.mp4"),
        (b'filename="a\\"b\\\\c.mp4"', 'a"b\\c.mp4'),  # curl
        (b'filename="C:\\Users\\x.mp4"', "C:\\Users\\x.mp4"),
        (b"filename=my film.mp4", "my film.mp4"),
        (b'filename=""', None),
    ],
)
def test_a_files_name_however_it_is_written_then_shown(
    rest: bytes, name: str | None
) -> None:
    head = b'--B\r\nContent-Disposition: form-data; name="file"; ' + rest
    form, writer = parse(head + b"\r\n\r\nx\r\n" + END)
    assert form.file is not None
    assert (form.file.name, bytes(writer.data)) == (name, b"x")


def test_a_byte_in_another_parts_name_that_is_not_utf_8_then_an_unknown_part() -> None:
    with pytest.raises(Invalid, match="'ÿ' is not a part of this form"):
        parse(part("file", b"x", filename="a").replace(b'"file"', b'"\xff"') + END)


def test_a_file_part_that_is_a_plain_text_then_422_that_tells_of_the_at_sign() -> None:
    with pytest.raises(Invalid) as refused:
        parse(part("file", b"clip.mp4") + END)
    (fault,) = refused.value.faults
    assert fault["pointer"] == "/file"
    assert "file=@clip.mp4" in (fault["hint"] or "")


def test_no_file_then_none() -> None:
    assert parse(OUTPUTS + END)[0].file is None


BODIES = [
    OUTPUTS + FILE + TYPED + END,
    FILE + END[:-2],
    FILE.replace(b"--B\r\n", b"--B \t\r\n") + b"--B-- \r\nepilogue\r\n--B\r\n",
    b"preamble\r\n" + part("file", b"x--B\r\n--B- \r\n--Bx\r\n--", filename="a") + END,
]


@pytest.mark.parametrize("body", BODIES)
def test_a_body_when_cut_at_any_byte_then_the_same_form(body: bytes) -> None:
    whole, expected = parse(body)
    for at in range(len(body) + 1):
        form, writer = parse(body[:at], body[at:])
        assert (form, writer.data) == (whole, expected.data), at
    form, writer = parse(*[body[i : i + 1] for i in range(len(body))])
    assert (form, writer.data) == (whole, expected.data)


@settings(max_examples=200)
@given(
    data=st.lists(
        st.sampled_from([b"\r", b"\n", b"-", b"--", b"--B", b"B", b" ", b"x", b"\0"])
    ).map(b"".join),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
@example(data=b"x\r\n--B-", cuts=[])
def test_data_that_resembles_boundaries_when_cut_then_unchanged(
    data: bytes, cuts: list[int]
) -> None:
    body = part("file", data, filename="a").replace(b"--B\r\n", b"--BOUND\r\n", 1)
    body += OUTPUTS.replace(b"--B\r\n", b"--BOUND\r\n", 1) + b"--BOUND--\r\n"
    at = [0, *sorted(cuts), len(body)]
    chunks = [body[a:b] for a, b in pairwise(at)]
    form, writer = parse(*chunks, content_type="x/y; boundary=BOUND")
    assert bytes(writer.data) == data
    assert "outputs" in form.fields


JUNK = st.one_of(
    st.binary(max_size=300),
    st.lists(
        st.sampled_from(
            [
                b"--B",
                b"--",
                b"\r\n",
                b"\n",
                b"\r",
                b"Content-Disposition: form-data; ",
                b'name="file"',
                b'name="outputs"',
                b'name=""',
                b'; filename="a"',
                b"; filename*=utf-16''%ff",
                b"Content-Type: x",
                b": ",
                b"\xff",
                b"\0",
                FILE,
                END,
            ]
        ),
        max_size=12,
    ).map(b"".join),
)


@settings(max_examples=400)
@given(body=JUNK, cut=st.integers(0, 300))
def test_junk_then_only_errors_of_the_request(body: bytes, cut: int) -> None:
    outcomes: list[Any] = []
    for chunks in ([body], [body[:cut], body[cut:]]):
        try:
            form, writer = parse(*chunks)
            outcomes.append((form, bytes(writer.data)))
        except (BadRequest, Invalid, BodyTooLarge) as error:
            outcomes.append(type(error))
    assert len(outcomes) == 2


@settings(max_examples=100)
@given(content_type=st.text(max_size=80).map("multipart/form-data; boundary=".__add__))
def test_any_boundary_then_only_errors_of_the_request(content_type: str) -> None:
    with pytest.raises(BadRequest):
        parse(b"--", content_type=content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        FILE,
        FILE[:-8],
        b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END,
        b"--B\r\nContent-Type: x/y\r\n\r\nx\r\n" + END,
        b"--B\r\nX: " + b"y" * 20_000 + b"\r\n\r\n" + END,
        part("outputs", b"\xff") + END,
        b"x" * 20_000,
    ],
)
def test_a_malformed_body_then_400_and_nothing_stored(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(body)


@pytest.mark.parametrize(
    "body",
    [
        FILE + FILE + END,
        OUTPUTS + OUTPUTS + END,
        part("video", b"x") + END,
        part("File", b"x", filename="a") + END,
    ],
)
def test_a_repeated_or_unknown_part_then_422(body: bytes) -> None:
    with pytest.raises(Invalid):
        parse(body)


@pytest.mark.parametrize(("over", "fails"), [(0, False), (1, True)])
def test_limits_when_passed_by_one_byte_then_413(over: int, fails: bool) -> None:
    for body in (
        part("file", b"x" * (LIMITS.source_bytes + over), filename="a"),
        part("outputs", b"x" * (LIMITS.field_bytes + over)),
    ):
        if fails:
            with pytest.raises(BodyTooLarge):
                parse(body + END)
        else:
            parse(body + END)


def test_a_client_that_goes_away_then_400_and_abort() -> None:
    class Broken(io.RawIOBase):
        calls = 0

        def read(self, _size: int = -1) -> bytes:
            self.calls += 1
            if self.calls > 1:
                raise ConnectionResetError
            return FILE[:-8]

    writer = Writer()
    with pytest.raises(BadRequest):
        receive(
            Broken(), TYPE, open_writer=lambda _t: writer, known=KNOWN, limits=LIMITS
        )
    assert writer.ended == "aborted"


HOSTILE = {
    "-video-with-dash-.mp4": "-video-with-dash-.mp4",
    "--help.mp4": "--help.mp4",
    "..%2f..%2fetc%2fpasswd.mp4": "..%2f..%2fetc%2fpasswd.mp4",
    "../../x.mp4": "../../x.mp4",
    ";touch pwned;.mp4": ";touch pwned;.mp4",
    "<script>alert(1)</script>.mp4": "<script>alert(1)</script>.mp4",
    "a&b=c?d#e.mp4": "a&b=c?d#e.mp4",
    "`id`.mp4": "`id`.mp4",
    "concat:a|b.mp4": "concat:a|b.mp4",
    "cafe\u0301.mp4": "caf\u00e9.mp4",
    "percent_%03d.mp4": "percent_%03d.mp4",
    "\u202egpj.exe": "gpj.exe",
    "\U0001f3ac.mp4": "\U0001f3ac.mp4",
    "nul\0.mp4": "nul.mp4",
    "  spaces.mp4  ": "spaces.mp4",
    "\x07": None,
    "n" * 300: "n" * 200,
}


@pytest.mark.parametrize("raw", HOSTILE)
def test_a_hostile_file_name_then_a_harmless_display_name(raw: str) -> None:
    form, _ = parse(part("file", b"x", filename=raw) + END)
    assert form.file is not None
    assert form.file.name == HOSTILE[raw]


@pytest.mark.parametrize("raw", ["a\r\nX: y.mp4", "a\nb.mp4", 'q"uote.mp4', "\\.mp4"])
def test_a_name_that_breaks_headers_then_refused_or_one_clean_line(raw: str) -> None:
    try:
        form, _ = parse(part("file", b"x", filename=raw) + END)
    except (BadRequest, Invalid):
        return
    assert form.file is not None
    assert not set(form.file.name or "") & {"\r", "\n", "\0"}


@pytest.mark.parametrize(
    ("given_type", "kept"),
    [
        ("video/MP4", "video/mp4"),
        ("video/mp4; x=y", "video/mp4"),
        ("text/html\x00", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
        ("a/b" + "c" * 200, "application/octet-stream"),
    ],
)
def test_a_content_type_then_plain_or_octet_stream(given_type: str, kept: str) -> None:
    form, _ = parse(part("file", b"x", filename="a", kind=given_type) + END)
    assert form.file is not None
    assert form.file.content_type == kept


def test_requests_toolbelt_as_the_prototype_s_client_then_read(tmp_path: Path) -> None:
    encoder = MultipartEncoder(
        {
            "metadata": '{"a":1}',
            "file": ("clip ü.mp4", b"y" * 50_000, "video/mp4"),
        }
    )
    form, writer = parse(encoder.read(), content_type=encoder.content_type)
    assert form.fields == {"metadata": '{"a":1}'}
    assert form.file is not None
    assert form.file.name == "clip ü.mp4"
    assert len(writer.data) == 50_000
