"""The judge of the corpus sees what is wrong with a picture."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from tests.corpus.inventory import OK, Entry
from tests.corpus.table import Row
from tests.corpus.verdict import Bench
from worker.media.engine import Engine, Rendered, RenderedFile, RenderJob, Watch
from worker.media.ffmpeg import binary
from worker.media.source_file import LocalFile

Judge = Callable[..., list[str]]

_OGG_HEAD = 27


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds, the first of them black."""
    path = tmp_path_factory.mktemp("judge") / "clip.mp4"
    source = "testsrc2=s=320x180:r=25:d=3,drawbox=t=fill:color=black:enable='lt(t,1)'"
    argv = [binary.path(Settings()), "-v", "error", "-f", "lavfi", "-i", source]
    argv += ["-pix_fmt", "yuv420p", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path


@pytest.fixture
def faults(clip: Path, tmp_path: Path) -> Judge:
    """Render a spec, let ``spoil`` change the first file, and judge it."""

    def _faults(
        spec: dict[str, object],
        spoil: Callable[[RenderedFile], RenderedFile] | None = None,
    ) -> list[str]:
        settings = Settings()
        engine = Engine(settings)
        media = engine.probe(LocalFile(clip))
        job = RenderJob(
            OUTPUT_SPEC.validate_python(spec), media, LocalFile(clip), tmp_path
        )
        made = engine.render(job, Watch())
        if spoil is not None:
            first = spoil(made.files[0])
            made = Rendered([first, *made.files[1:]], None, [], made.reports)
        row = Row("clip.mp4", "class", OK)
        entry = Entry(clip, "class", OK, "", 16 / 9)
        Bench(entry, media, settings, tmp_path, row).judge({str(spec["kind"]): made})
        return row.faults

    return _faults


def _turned(made: RenderedFile) -> RenderedFile:
    with Image.open(made.path) as image:
        image.transpose(Image.Transpose.ROTATE_180).save(made.path)
    return made


@pytest.mark.parametrize("kind", ["thumbnail", "animation", "storyboard"])
def test_given_a_right_output_when_judged_then_it_has_no_fault(faults, kind):
    assert faults({"kind": kind}) == []


def test_given_a_frame_of_another_time_when_judged_then_it_is_a_fault(faults):
    def later(made: RenderedFile) -> RenderedFile:
        return dataclasses.replace(made, time=(made.time or 0) - 0.4)

    found = faults({"kind": "thumbnail", "time": 2.0}, later)

    assert "SSIM" in found[0]


def test_given_a_time_between_two_frames_when_judged_then_it_is_a_fault(faults):
    def between(made: RenderedFile) -> RenderedFile:
        return dataclasses.replace(made, time=(made.time or 0) + 0.02)

    assert faults({"kind": "thumbnail", "time": 2.0}, between) == [
        "no frame begins at 2.02"
    ]


def test_given_a_black_frame_of_a_vivid_clip_when_judged_then_it_is_a_fault(faults):
    found = faults({"kind": "thumbnail", "time": 0.5})

    assert found == ["the still is blank, 67% of the frames are not"]


def test_given_wrong_colours_when_judged_then_they_are_a_fault(faults):
    def swapped(made: RenderedFile) -> RenderedFile:
        with Image.open(made.path) as image:
            red, green, blue = image.split()
            Image.merge("RGB", (blue, green, red)).save(made.path)
        return made

    found = faults({"kind": "thumbnail", "time": 2.0}, swapped)

    assert any("colours" in fault for fault in found)


def test_given_another_shape_when_judged_then_it_is_a_fault(faults):
    found = faults({"kind": "thumbnail", "width": 200, "height": 180, "fit": "stretch"})

    assert "is not 1.7778:1" in found[0]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"fps": 10.0}, "GIF: 30 frames, not 45"),
        ({"duration": 1.0}, "GIF: 15 frames, not 45"),
    ],
)
def test_given_a_gif_of_other_frames_when_judged_then_they_are_counted(
    faults, spec, words
):
    assert words in faults({"kind": "animation", **spec})


def test_given_a_sheet_upside_down_when_judged_then_its_tiles_are_a_fault(faults):
    found = faults({"kind": "storyboard", "interval": 1.0}, _turned)

    assert "tiles: SSIM" in found[0]


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two recordings in one Ogg file, of ten frames each."""
    path = tmp_path_factory.mktemp("chained") / "one.ogv"
    argv = [binary.path(Settings()), "-v", "error", "-f", "lavfi"]
    argv += ["-i", "testsrc2=s=64x48:r=10:d=1", "-c:v", "libtheora", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return 2 * path.read_bytes()


def _losses(path: Path) -> list[str]:
    """Return the faults of a clip that no warning calls damaged."""
    media = Engine(Settings()).probe(LocalFile(path))
    assert media.container == "ogg"
    row = Row(path.name, "class", OK)
    entry = Entry(path, "class", OK, "", 64 / 48)
    Bench(entry, media, Settings(), path.parent, row).judge({})
    return row.faults


def test_given_the_headers_of_a_chained_ogg_when_judged_then_no_frame_is_lost(
    chained, tmp_path
):
    path = tmp_path / "chained.ogv"
    path.write_bytes(chained)

    assert _losses(path) == []


def test_given_a_complaint_amid_the_line_of_a_filter_when_judged_then_nothing_is_lost(
    chained, tmp_path, monkeypatch
):
    """Given a log as two threads write it in some runs, then the headers are found."""
    run, mixed = subprocess.run, []

    def listened(*words, **more):
        done = run(*words, **more)
        named = rb"(?:\n\[theora @ \w+\] )?(Header packet passed)"
        done.stderr, found = re.subn(named, rb"\1", done.stderr or b"")
        mixed.append(found)
        return done

    monkeypatch.setattr(subprocess, "run", listened)
    path = tmp_path / "chained.ogv"
    path.write_bytes(chained)

    assert _losses(path) == []
    assert sum(mixed) == 1


def _seal(data: bytearray, page: int) -> None:
    """Write the checksum of the last page again (RFC 3533, 6): FFmpeg compares it."""
    data[page + 22 : page + 26] = bytes(4)
    crc = 0
    for byte in data[page:]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x104C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    data[page + 22 : page + 26] = crc.to_bytes(4, "little")


@pytest.mark.parametrize("copies", [1, 2])
def test_given_a_frame_that_ffmpeg_takes_for_a_header_when_judged_then_it_is_lost(
    chained, tmp_path, copies
):
    """Given a damaged frame of an Ogg, when it is judged, then it is lost."""
    data = bytearray(chained[: copies * len(chained) // 2])
    page = data.rindex(b"OggS")
    content = page + _OGG_HEAD + data[page + _OGG_HEAD - 1]
    data[content] |= 0x80
    _seal(data, page)
    path = tmp_path / "damaged.ogv"
    path.write_bytes(data)

    assert _losses(path) == ["FFmpeg finds damage, and no warning tells of it"]
