"""What an MP4's tables say of its samples is what PyAV's index says of each."""

from __future__ import annotations

import struct
from itertools import pairwise
from types import SimpleNamespace

import av
import pytest

from tests.conftest import SAMPLE
from worker.media.probe import sample_tables

# Frames 0, 1, 2, 12, 13, ...: the clock pauses once, and never after the last one.
PAUSE = "setpts=if(gt(N\\,2)\\,N+9\\,N)/25/TB"
CLIPS = {
    "plain": (),
    "index first": ("-movflags", "+faststart"),
    "pauses": ("-vf", PAUSE, "-fps_mode", "vfr", "-enc_time_base", "1/25"),
    "reordered": ("-bf", "3", "-movflags", "+faststart"),
    "one keyframe a frame": ("-g", "1"),
}


@pytest.fixture
def clip(make):
    def _clip(name, *words):
        words = ("-pix_fmt", "yuv420p", *(words or CLIPS[name]))
        return make(
            f"tables_{name.replace(' ', '_')}.mp4", "testsrc2=s=64x48:r=25:d=3", *words
        )

    return _clip


def _indexed(stream):
    """Return count, gap and end as the index has them, from each of its samples."""
    stamps = sorted(one.timestamp for one in stream.index_entries)
    gap = max((b - a for a, b in pairwise(stamps)), default=0)
    return len(stamps), gap, max(one.pos + one.size for one in stream.index_entries)


def _assert_same(path):
    with av.open(str(path)) as container:
        found = sample_tables.read_agreeing(container, path)
        wanted = {stream.id: _indexed(stream) for stream in container.streams}
        assert wanted
        assert {
            track: (one.count, one.gap, one.end) for track, one in found.items()
        } == wanted
        ends = [end for _, _, end in wanted.values()]
        assert sample_tables.samples_end(container, found) == max(ends)
        assert sample_tables.samples_end(container, {}) == max(ends)
        for stream in container.streams:
            gap = sample_tables.longest_gap(stream, found)
            assert gap == sample_tables.longest_gap(stream, {})


@pytest.mark.parametrize("name", CLIPS)
def test_the_tables_of_a_film_say_what_its_index_says(clip, name):
    _assert_same(clip(name))


def test_so_do_those_of_a_film_with_sound():
    _assert_same(SAMPLE)


def test_a_pause_is_the_longest_gap(clip):
    path = clip("pauses")
    with av.open(str(path)) as container:
        tables = sample_tables.read_agreeing(container, path)
        gap = sample_tables.longest_gap(container.streams.video[0], tables)

    assert gap == pytest.approx(10 / 25)


def test_offsets_of_64_bits_are_read(clip, tmp_path):
    data = bytearray(clip("plain").read_bytes())
    at = data.index(b"stco") - 4
    length, rows = struct.unpack_from(">I8xI", data, at)
    chunks = struct.unpack_from(f">{rows}I", data, at + 16)
    wide = struct.pack(f">I4sII{rows}Q", 16 + 8 * rows, b"co64", 0, rows, *chunks)
    data[at : at + length] = wide
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        (size,) = struct.unpack_from(">I", data, data.index(box) - 4)
        struct.pack_into(">I", data, data.index(box) - 4, size + 4 * rows)
    path = tmp_path / "wide.mp4"
    path.write_bytes(data)

    _assert_same(path)


def test_fragments_have_no_tables(clip):
    words = ("-movflags", "frag_keyframe+empty_moov")

    assert sample_tables.read(clip("fragments", *words)) is None


@pytest.mark.parametrize("share", [0.2, 0.9, 0.97])
def test_a_file_that_was_cut_has_none_and_raises_nothing(clip, tmp_path, share):
    data = clip("plain").read_bytes()  # its index is at its end
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: int(len(data) * share)])

    assert sample_tables.read(path) is None


def test_tables_of_other_samples_than_the_index_are_not_believed(clip, tmp_path):
    data = bytearray(clip("plain").read_bytes())
    at = data.index(b"stts") + 8
    rows, count = struct.unpack_from(">II", data, at)
    struct.pack_into(">I", data, at + 4, count - 1)
    path = tmp_path / "fewer.mp4"
    path.write_bytes(data)

    assert rows == 1
    with av.open(str(path)) as container:
        streams = [
            SimpleNamespace(id=one.id, index_entries=range(count))
            for one in container.streams
        ]
        claimed = SimpleNamespace(format=container.format, streams=streams)
        assert sample_tables.read_agreeing(claimed, path) == {}


def test_other_containers_have_none(make):
    path = make("tables.mkv", "testsrc2=s=64x48:r=25:d=1", "-pix_fmt", "yuv420p")

    assert sample_tables.read(path) is None
    with av.open(str(path)) as container:
        assert sample_tables.read_agreeing(container, path) == {}
        assert sample_tables.samples_end(container, {}) == 0
