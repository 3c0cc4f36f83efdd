"""A large MP4 in fragments, opened by the index at its end."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from tests.worker.media.conftest import Make
from worker.media.ffmpeg.formats import FORMATS
from worker.media.probe import child, fragments

_FILM = "testsrc2=size=96x64:rate=25:duration=12"
_WORDS = ("-f", "lavfi", "-i", "sine=duration=12", "-c:v", "libx264", "-g", "25")
_WORDS += ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov")


@pytest.fixture(scope="module")
def film(make: Make) -> Path:
    return make("indexed-fragments.mp4", _FILM, *_WORDS)


def _read(path: Path, scan_bytes: int = 1000) -> dict[str, Any]:
    facts = child.read(path, child.Options(FORMATS, 10**7, scan_bytes, 20.0))
    facts.pop("description")
    return facts


def _tracks(data: bytes) -> list[tuple[int, int, int]]:
    """Return where the entries of each track begin, how many, and how long they are."""
    at = len(data) - struct.unpack(">I", data[-4:])[0] + 8
    found = []
    while data[at + 4 : at + 8] == b"tfra":
        (size,), (count,) = (struct.unpack_from(">I", data, at + n) for n in (0, 20))
        found.append((at + 24, count, (size - 24) // count))
        at += size
    return found


def test_the_index_lists_each_fragment_by_its_time_and_place(film: Path) -> None:
    data = film.read_bytes()

    video, sound = fragments.read(data).values()

    assert [one.offset for one in video] == [one.offset for one in sound]
    assert {data[one.offset + 4 : one.offset + 8] for one in video} == {b"moof"}
    tick = 12800
    first = video[0].time
    assert [one.time - first for one in video] == [n * tick for n in range(12)]


def test_a_film_opened_by_the_index_has_the_facts_of_one_that_was_read(
    film: Path,
) -> None:
    by_index, visited = _read(film), _read(film, 10**9)

    assert by_index["by_fragments"]
    assert not visited["by_fragments"]
    for facts in (by_index, visited):
        (video,), (sound,) = facts["videos"], facts["audios"]
        assert video["first"] == pytest.approx(0.08, abs=0.001)
        assert video["end"] == pytest.approx(12.08, abs=0.001)
        assert video["duration"] == pytest.approx(12, abs=0.09)
        assert sound["duration"] == pytest.approx(12.08, abs=0.05)
        assert facts["duration"] == pytest.approx(12.08, abs=0.09)
        assert facts["bit_rate"] == pytest.approx(
            8 * film.stat().st_size / 12.08, rel=0.01
        )
        assert (video["seekable"], video["jumps"]) == (True, 0)


@pytest.mark.parametrize("place", [0, 6, 11], ids=["first", "middle", "last"])
def test_an_index_with_a_wrong_time_is_not_believed(
    film: Path, tmp_path: Path, place: int
) -> None:
    data = bytearray(film.read_bytes())
    start, _, size = _tracks(data)[0]
    at = start + place * size
    (time,) = struct.unpack_from(">Q", data, at)
    struct.pack_into(">Q", data, at, time + 3000)
    wrong = tmp_path / "wrong.mp4"
    wrong.write_bytes(data)

    facts = _read(wrong)

    assert not facts["by_fragments"]
    assert facts["videos"][0]["end"] == pytest.approx(12.08, abs=0.001)


@pytest.mark.parametrize("extra", ["fragment", "garbage"])
def test_an_index_before_which_something_else_ends_is_not_used(
    film: Path, tmp_path: Path, extra: str
) -> None:
    data = film.read_bytes()
    index = len(data) - struct.unpack(">I", data[-4:])[0]
    last = next(iter(fragments.read(data).values()))[-1].offset
    more = data[last:index] if extra == "fragment" else b"\0" * 64
    path = tmp_path / "more.mp4"
    path.write_bytes(data[:index] + more + data[index:])

    # Another fragment is not listed, but reading on finds it; what is none stops there.
    assert fragments.are_listed(path) == (extra == "fragment")


@pytest.mark.parametrize("words", [("-bf", "0"), ()], ids=["in order", "reordered"])
def test_an_index_of_decoding_times_is_used_where_they_are_those_of_showing(
    make: Make, tmp_path: Path, words: tuple[str, ...]
) -> None:
    name = f"decoding-times-{len(words)}.mp4"
    data = bytearray(make(name, _FILM, *_WORDS, *words).read_bytes())
    first = fragments.read(bytes(data))[1][0].time
    start, count, size = _tracks(data)[0]
    for at in range(start, start + count * size, size):
        (time,) = struct.unpack_from(">Q", data, at)
        struct.pack_into(">Q", data, at, time - first)
    path = tmp_path / "film.mp4"
    path.write_bytes(data)

    assert fragments.are_listed(path) == bool(words)


def test_beside_an_edit_list_the_index_is_not_used(make: Make) -> None:
    moved = tuple(word.replace("empty_moov", "delay_moov") for word in _WORDS)
    film = make("edited-fragments.mp4", _FILM, *moved)

    assert fragments.read(film.read_bytes())
    assert not fragments.are_listed(film)


@pytest.mark.parametrize("size", [0, 3, 16, 100])
def test_what_is_too_short_for_an_index_has_none(
    film: Path, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "short.mp4"
    path.write_bytes(film.read_bytes()[-size:] if size else b"")

    assert not fragments.are_listed(path)


def test_an_index_whose_lengths_lie_has_no_fragments(film: Path) -> None:
    data = bytearray(film.read_bytes())
    start, count, size = _tracks(data)[0]
    for at, value in ((start - 24, 0), (start - 24, 2**31), (start - 4, 10**9)):
        broken = bytearray(data)
        struct.pack_into(">I", broken, at, value)
        listed = fragments.read(bytes(broken)).get(1, [])
        assert not listed
    assert count == 12
    assert size > 16
