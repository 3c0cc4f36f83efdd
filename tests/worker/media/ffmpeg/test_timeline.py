"""Clocks that restart or jump: the probe notices it, and a copy mends it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from common.errors import DecodeError
from common.model import MediaInfo
from tests.acceptance import marks
from tests.acceptance.films import make
from tests.acceptance.films.recipes import FRAGMENTS, H264, MPEG2, VP9, groups, of
from worker.media.ffmpeg import timeline
from worker.media.probe import child, media_info, transport_streams
from worker.media.source_file import LocalFile

_FRAMES = 20
_RATE = 10
_HOURS = 5 * 3600
_H264 = (*H264, *groups(10))
_VIDEO = {
    "ts": _H264,
    "mpg": (*MPEG2, "-r", "10", "-strict", "-1"),
    "mkv": _H264,
    "webm": (*VP9, *groups(10)),
    "ogv": ("-c:v", "libtheora", "-q:v", "8", "-g", "10"),
    "mp4": _H264,
    "frag.mp4": (*_H264, *FRAGMENTS),
    "flv": _H264,
}
_FORMATS = {"ts": "mpegts", "mpg": "vob", "mkv": "matroska", "ogv": "ogg"}


@pytest.fixture(scope="module")
def joined(ffmpeg, tmp_path_factory):
    """Join recordings of a kind; each begins at one of these seconds of the clock."""
    folder = tmp_path_factory.mktemp("joined")

    def _joined(suffix: str, *starts: float) -> Path:
        path = folder / f"{'-'.join(map(str, starts))}.{suffix}"
        if path.exists():
            return path
        drawn = len(starts) * _FRAMES
        film = of("part", "mkv", "two seconds each", 0, drawn=drawn, fps=_RATE)
        whole = make.film(film)
        parts = []
        for place, start in enumerate(starts):
            part = folder / f"part-{place}.{suffix}"
            cut = ["-ss", str(place * _FRAMES / _RATE), "-i", whole]
            cut += ["-frames:v", str(_FRAMES), *_VIDEO[suffix]]
            cut += ["-output_ts_offset", str(start), "-muxdelay", "0"]
            kind = _FORMATS.get(suffix, suffix.rpartition(".")[2])
            argv = [ffmpeg, "-v", "error", "-y", *cut, "-f", kind, part]
            subprocess.run(argv, check=True, timeout=60)
            parts.append(part.read_bytes())
        path.write_bytes(b"".join(parts))
        return path

    return _joined


def _numbers(path: Path) -> list[tuple[float, int]]:
    """Return the time, from that of the first, and the number of each frame."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    first = frames[0].time or 0.0
    return [
        (round((one.time or 0.0) - first, 3), marks.read(one.to_image()).number)
        for one in frames
    ]


@pytest.mark.parametrize(
    ("suffix", "starts"),
    [
        ("ts", (1, 1)),
        ("mpg", (1, 1)),
        ("ts", (1, _HOURS)),
        ("ts", (_HOURS, 1)),
        ("mkv", (0, 0)),
        ("webm", (0, 0)),
        ("ogv", (0, 0, 0)),
        ("frag.mp4", (0, 0)),
    ],
)
def test_joined_recordings_are_noticed_and_put_one_after_another(
    engine, settings, joined, tmp_path, suffix, starts
):
    path, copy = joined(suffix, *starts), tmp_path / "copy.nut"

    media = media_info.probe(LocalFile(path), settings)
    timeline.rewrite(LocalFile(path), copy, settings, lambda: False)

    assert timeline.jumps(media)
    shown = _numbers(copy)
    assert [number for _, number in shown] == list(range(len(starts) * _FRAMES))
    off = [abs(time * _RATE - number) for time, number in shown]
    assert max(off) <= 1
    seconds = len(starts) * _FRAMES / _RATE
    assert engine.probe(LocalFile(path)).duration == pytest.approx(seconds, abs=0.11)


@pytest.mark.parametrize("suffix", ["mkv", "webm", "ogv", "frag.mp4", "mp4", "flv"])
def test_one_file_alone_is_no_second_one(settings, joined, suffix):
    media = media_info.probe(LocalFile(joined(suffix, 0)), settings)

    assert media.warnings == []
    assert media.duration == pytest.approx(2.0, abs=0.11)


@pytest.mark.parametrize("suffix", ["mp4", "flv"])
def test_a_second_file_that_is_not_read_is_warned_about(engine, joined, suffix):
    media = engine.probe(LocalFile(joined(suffix, 0, 0)))

    assert media.warnings == ["stream_changes"]
    assert media.duration == pytest.approx(2.0, abs=0.11)


def test_a_second_matroska_file_is_found_in_a_file_too_large_to_be_read(
    settings, joined, monkeypatch
):
    path = joined("mkv", 0, 0)
    monkeypatch.setattr(media_info, "_SCAN_BYTES", 1000)

    assert "clock_jumps" in media_info.probe(LocalFile(path), settings).warnings
    assert (
        "clock_jumps"
        not in media_info.probe(LocalFile(joined("mkv", 0)), settings).warnings
    )


def test_the_facts_of_a_copy_stand_under_the_name_of_the_file(engine, joined):
    path = joined("ts", 1, 1)

    media = engine.probe(LocalFile(path))

    assert media.rewritten
    assert not timeline.jumps(media)
    assert media.container == "mpegts"
    assert media.size == path.stat().st_size
    assert media.warnings == ["clock_jumps"]


def test_facts_of_a_copy_do_not_warn_of_the_copys_own_duration():
    media = MediaInfo(container="mpegts", size=9, warnings=["clock_jumps"])
    copy = MediaInfo(container="nut", size=5, warnings=["duration_corrected", "black"])

    told = timeline.as_of(media, copy)

    assert (told.container, told.size) == ("mpegts", 9)
    assert told.warnings == ["clock_jumps", "black"]


def test_facts_of_a_copy_keep_that_the_file_was_cut_off():
    media = MediaInfo(container="mpegts", size=9, warnings=["cut_off", "clock_jumps"])

    told = timeline.as_of(media, MediaInfo(container="nut", size=5, warnings=[]))

    assert told.warnings == ["cut_off", "clock_jumps"]


@pytest.mark.parametrize("start", [1, 2**33 / 90_000 - 1])
def test_an_ordinary_stream_has_no_jump(settings, joined, start):
    # The second one reaches the end of the clock's 33 bits in its middle.
    media = media_info.probe(LocalFile(joined("ts", start)), settings)

    assert "clock_jumps" not in media.warnings
    assert not timeline.jumps(media)
    assert media.duration == pytest.approx(2.0, abs=0.11)


def test_the_stream_that_wraps_really_wraps(joined):
    data = joined("ts", 2**33 / 90_000 - 1).read_bytes()

    found = transport_streams._STAMP.finditer(data)
    stamps = [transport_streams._pes_seconds(one[1]) for one in found]

    assert max(stamps) > 95_000
    assert min(stamps) < 2


@pytest.mark.parametrize(
    ("starts", "jumps"),
    [
        ((1,), False),
        ((1, 1), True),
        ((1, _HOURS), True),
        ((_HOURS, 1), True),
        ((2**33 / 90_000 - 1,), False),
    ],
)
def test_a_file_too_large_to_be_read_is_looked_at_in_places(
    settings, joined, monkeypatch, starts, jumps
):
    path = joined("ts", *starts)
    monkeypatch.setattr(transport_streams, "_WINDOW_BYTES", path.stat().st_size // 12)
    options = child.Options(media_info.FORMATS, 10**7, 1000, 3.0)
    monkeypatch.setattr(child, "_enough", lambda track: track.packets > 2)
    monkeypatch.setattr(child, "_read_end", lambda *_: None)
    monkeypatch.setattr(child, "_try_seek", lambda *_, **__: True)

    found = child.read(path, options)

    assert not found["complete"]
    assert bool(found["videos"][0]["jumps"]) is jumps
    assert bool(transport_streams.sampled_jumps(path)) is jumps


def _followed(*times: float) -> int:
    track = child.Track(SimpleNamespace())
    for now in times:
        track.follow(now)
    return track.jumps


@pytest.mark.parametrize(
    ("times", "jumps"),
    [
        ([0, 0.04, 0.08, 0.12], 0),
        ([0, 0.5, 1, 0, 0.5], 1),
        ([0, 0.04, 0.08, 18_000, 18_000.04], 1),
        # Frames before the clock's order, within a muxer's slack.
        ([0, 0.04, 0.0, 0.08], 0),
        # Slides of a minute each, and one pause under ten seconds.
        ([0, 60, 120, 180, 240], 0),
        ([0, 0.04, 9.9, 9.94], 0),
    ],
)
def test_a_jump_is_a_step_back_or_one_far_over_the_usual(times, jumps):
    assert _followed(*times) == jumps


def test_forgetting_what_was_read_makes_a_seek_no_jump():
    track = child.Track(SimpleNamespace())
    track.follow(100.0)
    track.forget()
    track.follow(0.0)

    assert track.jumps == 0


def test_a_file_that_is_not_a_film_cannot_be_rewritten(settings, tmp_path):
    path = tmp_path / "text.ts"
    path.write_bytes(b"no film at all" * 50)

    with pytest.raises(DecodeError, match="could not be joined"):
        timeline.rewrite(
            LocalFile(path), tmp_path / "copy.nut", settings, lambda: False
        )


def test_the_headers_of_another_ogg_stream_are_kept_for_the_decoder(joined, tmp_path):
    data = bytearray(joined("ogv", 0, 0).read_bytes())
    again = data.rindex(b"\x80theora")
    same, other = tmp_path / "same.ogv", tmp_path / "other.ogv"
    same.write_bytes(data)
    data[again + 8] += 1  # a minor version, as another encoder might write it
    other.write_bytes(data)

    assert "noise=drop" in " ".join(timeline._corrections(same)[1])
    assert "noise=drop" not in " ".join(timeline._corrections(other)[1])
