"""A source with holes gives what the whole file gives, of fewer bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import SourceChanged
from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from tests.corpus.sparse import compare
from tests.worker.media.holes import HoledFile
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.ffmpeg import process
from worker.media.ffmpeg.plan import Done
from worker.media.probe import media_info
from worker.media.recipes.shared import keyframe_index
from worker.media.recipes.shared.keyframe_index import Keyframe
from worker.media.source_file import LocalFile

CASES = Path(__file__).parents[2] / "cases"
CLIPS = sorted(one.name for one in CASES.iterdir() if one.suffix != ".md")
# Noise does not compress: a keyframe is large, as in a film.
NOISE = "nullsrc=s=160x90:r=10:d=40,geq=random(1)*255:128:128"
WORDS = ("-g", "20", "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-crf", "20")
FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")


pytestmark = pytest.mark.usefixtures("kernel_that_reports")


@pytest.fixture
def long_film(make) -> Path:
    return make("noise.mp4", NOISE, *WORDS)


@pytest.mark.parametrize("name", CLIPS)
def test_given_a_case_with_holes_when_it_is_shown_then_all_is_as_of_the_whole(
    name, settings
):
    done = compare(CASES / name, settings, ("thumbnail", "storyboard"))

    assert not done.faults
    assert done.read > 0


@pytest.mark.parametrize(
    ("suffix", "words"),
    [
        ("mp4", ()),
        ("mkv", ()),
        ("ts", ()),
        ("avi", ("-bf", "0")),
        ("frag.mp4", FRAGMENTS),
    ],
)
def test_given_a_container_with_holes_when_it_is_shown_then_all_is_as_of_the_whole(
    suffix, words, make, long_film, settings
):
    film = make(f"holes.{suffix}", "", "-c", "copy", *words, copy=long_film)

    assert not compare(film, settings, ("thumbnail", "storyboard")).faults


def _read_for(path: Path, spec: dict, folder: Path) -> tuple[float, object]:
    """Return the share of a film's bytes that a render reads after the probe."""
    holed, engine = HoledFile(path, folder / "holed"), Engine(Settings())
    media = engine.probe(HoledFile(path, folder / "probed"))
    workdir = folder / "work"
    workdir.mkdir()
    spec = OUTPUT_SPEC.validate_python(spec)
    done = engine.render(RenderJob(spec, media, holed, workdir), Watch())
    return holed.bytes / holed.size, done


def test_given_an_mp4_with_holes_when_a_storyboard_is_made_then_few_bytes_are_read(
    long_film, tmp_path
):
    share, done = _read_for(long_film, {"kind": "storyboard", "interval": 10}, tmp_path)

    assert [one.rung for one in done.reports] == ["keyframes"]
    assert share < 0.2, "four keyframes of forty, the index, and no more"


def test_given_an_mp4_with_holes_when_a_storyboard_is_made_then_no_hole_is_parsed(
    long_film, tmp_path, monkeypatch
):
    logs, run = [], process.run

    def listened(*args, **words):
        done = run(*args, **words)
        logs.append(done.log)
        return done

    monkeypatch.setattr(process, "run", listened)
    _read_for(long_film, {"kind": "storyboard", "interval": 10}, tmp_path)

    assert logs
    assert not [
        line for log in logs for line in log.splitlines() if "access unit" in line
    ]


def test_given_a_film_with_holes_when_one_frame_is_shown_then_few_bytes_are_read(
    long_film, tmp_path
):
    share, _ = _read_for(long_film, {"kind": "thumbnail", "time": 20}, tmp_path)

    assert share < 0.3


def test_given_fragments_with_an_index_when_one_frame_is_shown_then_few_are_visited(
    make, long_film, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(media_info, "_SCAN_BYTES", 1000)
    film = make("by-index.mp4", "", "-c", "copy", *FRAGMENTS, copy=long_film)
    whole, holed = (
        Engine(settings).probe(LocalFile(film)),
        HoledFile(film, tmp_path / "f"),
    )

    assert Engine(settings).probe(holed) == whole
    assert whole.by_fragments
    assert whole.duration == pytest.approx(40, abs=0.2)
    assert holed.bytes / holed.size < 0.4, "first and last groups, and one between"
    share, _ = _read_for(film, {"kind": "thumbnail", "time": 20}, tmp_path)
    assert share < 0.25
    assert not compare(film, settings, ("thumbnail", "animation")).faults


def test_given_bytes_that_cannot_be_had_when_a_film_is_used_then_the_error_is_theirs(
    engine, long_film, workdir, tmp_path
):
    class Lost(HoledFile):
        def ensure(self, start: int, end: int) -> None:
            if start > 100_000:
                raise SourceChanged("the source has changed since it was pinned")
            super().ensure(start, end)

    lost = Lost(long_film, tmp_path / "source")
    media = engine.probe(HoledFile(long_film, tmp_path / "probed"))
    spec = OUTPUT_SPEC.validate_python({"kind": "storyboard"})

    with pytest.raises(SourceChanged):
        engine.probe(lost)
    with pytest.raises(SourceChanged):
        engine.render(RenderJob(spec, media, lost, workdir), Watch())


def test_given_an_index_when_keyframes_are_chosen_then_the_first_of_each_cell_is():
    listed = [(0.0, 10, 5), (2.0, 20, 5), (9.9, 30, 5), (10.0, 40, 5), (31.0, 50, 5)]
    done = Done(0, json.dumps(listed).encode(), "", {})

    chosen = keyframe_index.first_of_cells(
        keyframe_index.read(done), lambda time: int(time // 10)
    )

    assert chosen == {
        0: Keyframe(0.0, 10, 15),
        1: Keyframe(10.0, 40, 45),
        3: Keyframe(31.0, 50, 55),
    }


def test_given_more_keyframes_than_a_word_holds_when_they_are_chosen_then_none_is():
    many = [Keyframe(float(n), n * 10, n * 10 + 5) for n in range(2001)]

    assert keyframe_index.first_of_cells(many, int) == {}
    assert len(keyframe_index.first_of_cells(many[:2000], int)) == 2000


def test_given_an_answer_that_is_no_list_when_it_is_read_then_there_are_no_keyframes():
    assert keyframe_index.read(Done(1, b"", "", {})) == []
    assert keyframe_index.read(Done(0, b"[[0.0, 10", "", {})) == []


def test_given_times_other_than_implied_when_they_are_compared_then_that_is_seen():
    wanted = {0: Keyframe(5.0, 0, 1), 1: Keyframe(15.0, 1, 2)}

    assert keyframe_index.came(wanted, {0: 0.1, 1: 10.001}, 5.0)
    assert not keyframe_index.came(wanted, {0: 0.0, 1: 10.04}, 5.0)
    assert not keyframe_index.came(wanted, {0: 0.0}, 5.0)
