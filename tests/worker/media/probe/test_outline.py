"""A file's own lengths show where it was cut off, and where a second file begins."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.media.engine import Engine
from worker.media.ffmpeg import timeline
from worker.media.probe import isobmff, outline
from worker.media.source_file import LocalFile

_FILM = "testsrc2=s=160x90:r=10:d=8"
_PIXELS = ("-pix_fmt", "yuv420p")
_FAST = ("-g", "10", *_PIXELS)
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", *_FAST)
_VP8 = ("-c:v", "libvpx", "-deadline", "realtime", *_FAST)
_MPEG4 = ("-c:v", "mpeg4", *_FAST)
_FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov")
# Kinds of files that state how long their parts are.
_SIGNED = {
    "start.mp4": (*_H264, "-movflags", "+faststart"),
    "start.mov": (*_H264, "-movflags", "+faststart"),
    "fragments.mp4": (*_H264, *_FRAGMENTS),
    "film.mkv": _H264,
    "film.webm": _VP8,
    "live.mkv": (*_H264, "-live", "1"),
    "film.avi": _MPEG4,
    "film.flv": _H264,
    "film.wmv": ("-c:v", "wmv2", *_FAST),
    "film.mxf": ("-r", "25", "-c:v", "mpeg2video", *_FAST),
    "film.ogv": ("-c:v", "libtheora", *_FAST),
    "film.gif": (),
    "film.apng": ("-plays", "0"),
    "film.webp": ("-c:v", "libwebp", "-loop", "0"),
}
# What FFmpeg does with a second file of a kind; the others are not looked at.
_JOINED: dict[str, outline.SecondFile | None] = {
    "start.mp4": "hidden",
    "fragments.mp4": "restarts",
    "film.mkv": "read",
    "live.mkv": "read",
    "film.flv": "hidden",
    "film.avi": None,
}
# MPEG streams state no length.
_UNSIGNED = {"film.ts": _H264, "film.mpg": ("-c:v", "mpeg2video", *_FAST)}

Make = Callable[..., Path]


def _box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _cut(clip: Path, workdir: Path, share: float = 0.6) -> Path:
    data = clip.read_bytes()
    path = workdir / clip.name
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("name", _SIGNED)
def test_given_a_cut_file_when_it_is_probed_then_it_has_the_warning(
    engine: Engine, make: Make, workdir: Path, name: str
) -> None:
    clip = make(f"cut-{name}", _FILM, *_SIGNED[name])

    media = engine.probe(LocalFile(_cut(clip, workdir)))

    assert media.warnings.count("cut_off") == 1


@pytest.mark.parametrize("name", [*_SIGNED, *_UNSIGNED])
def test_given_a_whole_file_when_it_is_probed_then_it_does_not_have_the_warning(
    engine: Engine, make: Make, name: str
) -> None:
    clip = make(f"cut-{name}", _FILM, *(_SIGNED | _UNSIGNED)[name])

    assert "cut_off" not in engine.probe(LocalFile(clip)).warnings


@pytest.mark.parametrize("name", _UNSIGNED)
def test_given_a_cut_mpeg_stream_when_it_is_probed_then_nothing_is_claimed(
    engine: Engine, make: Make, workdir: Path, name: str
) -> None:
    clip = make(f"cut-{name}", _FILM, *_UNSIGNED[name])

    assert "cut_off" not in engine.probe(LocalFile(_cut(clip, workdir))).warnings


def test_given_media_data_up_to_the_end_when_it_is_cut_then_the_index_reveals_it(
    engine: Engine, make: Make, workdir: Path
) -> None:
    """Given a box without a length, when it is cut, then the index reveals it."""
    clip = make("cut-start.mp4", _FILM, *_SIGNED["start.mp4"])
    data = bytearray(clip.read_bytes())
    place = data.index(b"mdat") - 4
    data[place : place + 4] = bytes(4)
    path = workdir / "open.mp4"
    path.write_bytes(data)
    whole = engine.probe(LocalFile(path))

    cut = engine.probe(LocalFile(_cut(path, workdir)))

    assert "cut_off" not in whole.warnings
    assert "cut_off" in cut.warnings


def test_given_bytes_behind_the_last_box_then_the_file_is_whole(
    engine: Engine, make: Make, workdir: Path
) -> None:
    clip = make("cut-start.mp4", _FILM, *_SIGNED["start.mp4"])
    path = workdir / "tail.mp4"
    path.write_bytes(clip.read_bytes() + b"\x7fjunk behind the last box")

    assert "cut_off" not in engine.probe(LocalFile(path)).warnings


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_given_an_avi_that_states_no_length_then_the_file_is_whole(
    make: Make, workdir: Path, length: int
) -> None:
    data = bytearray(make("cut-film.avi", _FILM, *_MPEG4).read_bytes())
    data[4:8] = struct.pack("<I", length)
    path = workdir / "open.avi"
    path.write_bytes(data)

    assert not outline.read(LocalFile(path)).cut_off


@pytest.mark.parametrize("name", _SIGNED)
@pytest.mark.parametrize("size", [0, 1, 5, 9, 17, 27])
def test_given_a_few_bytes_then_reading_them_raises_nothing(
    make: Make, workdir: Path, name: str, size: int
) -> None:
    clip = make(f"cut-{name}", _FILM, *_SIGNED[name])
    path = workdir / name
    path.write_bytes(clip.read_bytes()[:size])

    assert isinstance(outline.read(LocalFile(path)).cut_off, bool)


@pytest.mark.parametrize(
    "data",
    [
        _box(b"free") + _box(b"sidx"),
        _box(b"moof") + bytes(8) + b"mfrotfra" + struct.pack(">I", 20),
        b"".join(map(_box, (b"ftyp", b"moov", b"moof", b"ftyp", b"moov")))
        + _box(b"moof", b"tfdt"),
    ],
    ids=["segment index", "index of fragments", "time of a fragment"],
)
def test_given_an_index_that_ends_with_the_file_then_reading_it_raises_nothing(
    workdir: Path, data: bytes
) -> None:
    path = workdir / "crafted.mp4"
    path.write_bytes(data)

    assert not outline.read(LocalFile(path)).cut_off


@pytest.mark.parametrize("name", _JOINED)
def test_given_two_joined_files_then_the_second_is_found_and_one_alone_has_none(
    make: Make, workdir: Path, name: str
) -> None:
    clip = make(f"cut-{name}", _FILM, *_SIGNED[name])
    path = workdir / name
    path.write_bytes(clip.read_bytes() * 2)

    assert outline.read(LocalFile(path)) == outline.Outline(second_file=_JOINED[name])
    assert outline.read(LocalFile(clip)) == outline.Outline()


def test_given_a_cut_file_whose_clock_jumps_then_its_copy_keeps_the_warning(
    engine: Engine, make: Make, workdir: Path
) -> None:
    """Given two joined files, when the second is cut, then the warning stays."""
    clip = make("cut-film.mkv", _FILM, *_H264)
    path = workdir / "joined.mkv"
    path.write_bytes(clip.read_bytes() + _cut(clip, workdir).read_bytes())

    media = engine.probe(LocalFile(path))

    assert media.rewritten
    assert not timeline.jumps(media)
    assert {"cut_off", "clock_jumps"} <= set(media.warnings)


class _Counted:
    """A source that counts the bytes that are asked for, and has them all."""

    complete = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wanted: set[int] = set()

    def ensure(self, start: int, end: int) -> None:
        self.wanted.update(range(start, end))


@pytest.mark.parametrize("index", ["empty_moov", "empty_moov+global_sidx"])
def test_given_an_index_of_fragments_then_not_each_of_them_is_looked_at(
    make: Make, workdir: Path, index: str
) -> None:
    name = f"many-{index}.mp4"
    clip = make(name, _FILM, *_H264, "-movflags", f"frag_every_frame+{index}")
    source = _Counted(clip)
    assert outline.read(source) == outline.Outline()
    # Of 80 fragments: the first, the last, the header, and the index behind them.
    assert len(source.wanted) < 1600
    source.wanted.clear()
    assert isobmff.read(source) == isobmff.Assembly()
    assert max(source.wanted) < 70_000 < clip.stat().st_size
    assert outline.read(_Counted(_cut(clip, workdir))).cut_off


def test_given_an_index_that_lists_a_place_behind_the_end_then_the_walk_goes_on(
    make: Make, workdir: Path
) -> None:
    clip = make("start-fragments.mp4", _FILM, *_H264, *_FRAGMENTS)
    data = clip.read_bytes()
    place = len(data) - struct.unpack(">I", data[-4:])[0] + 8
    count = struct.unpack_from(">I", data, place + 20)[0]
    last = place + 24 + (count - 1) * (len(data) - 16 - place - 24) // count
    broken = bytearray(data)
    broken[last : last + 16] = b"\xff" * 16
    path = workdir / "broken.mp4"
    path.write_bytes(broken + data)
    assert outline.read(LocalFile(path)).second_file == "restarts"
