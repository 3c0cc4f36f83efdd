"""What players read of a storyboard: BIF, Jellyfin's folder, a DASH track."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat
from pydantic import ValidationError

from common.outputs.specs import OUTPUT_SPEC
from tests.worker.media.recipes import boards
from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.storyboard import bif
from worker.media.engine import Rendered

# Each is encoded for itself, so two JPEGs of a frame differ by their noise.
NOISE = 4.0
WORDS: dict[str, Any] = {
    "kind": "storyboard",
    "interval": 1.5,
    "width": 160,
    "quality": 95,
}
GRID: dict[str, Any] = {"columns": 3, "rows": 2}


def _file(done: Rendered, name: str) -> bytes:
    (path,) = [file.path for file in done.files if file.name == name]
    return path.read_bytes()


def _distance(one: Image.Image, other: Image.Image) -> float:
    grey = [picture.convert("L") for picture in (one, other)]
    return max(ImageStat.Stat(ImageChops.difference(*grey)).mean)


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
def test_a_bif_has_the_tile_of_each_interval(
    sample: Path, render: Render, kind: str
) -> None:
    done = render(sample, **WORDS, **GRID, format=kind, trickplay=["bif"])
    board = boards.read(done)

    images = bif.read(_file(done, "storyboard.bif"))

    assert [one.milliseconds for one in images] == [
        1500 * place for place in range(len(board.index["tiles"]))
    ]
    for place, one in enumerate(images):
        with Image.open(io.BytesIO(one.body)) as picture:
            assert picture.format == "JPEG"
            assert picture.size == (160, board.index["tile_height"])
            far = [_distance(picture, board.tile(at)) for at in range(len(images))]
        assert far[place] == min(far) < NOISE


def test_a_bif_keeps_time_where_intervals_are_no_whole_milliseconds(
    sample: Path, render: Render
) -> None:
    words = {"kind": "storyboard", "count": 7, "width": 96}
    done = render(sample, **words, trickplay=["bif"])
    interval = boards.read(done).index["interval"]

    stamps = [one.milliseconds for one in bif.read(_file(done, "storyboard.bif"))]

    assert interval * 1000 % 1
    assert stamps == [round(cell * interval * 1000) for cell in range(7)]


def test_jellyfin_finds_full_sheets_in_the_folder_of_their_size(
    sample: Path, render: Render
) -> None:
    done = render(sample, **WORDS, columns=4, rows=4, trickplay=["jellyfin"])
    board = boards.read(done)

    with zipfile.ZipFile(io.BytesIO(_file(done, "storyboard-jellyfin.zip"))) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}

    sheets = [one["file"] for one in board.index["sheets"]]
    assert found == {
        f"160 - 4x4/{place}.jpg": _file(done, name) for place, name in enumerate(sheets)
    }
    assert {sheet.size for sheet in board.sheets.values()} == {
        (4 * 160, 4 * board.index["tile_height"])
    }
    assert boards.disagreements(board) == []


def test_the_same_film_gives_the_same_archives(sample: Path, render: Render) -> None:
    words = WORDS | {"trickplay": ["jellyfin", "bif"]}
    first, second = (render(sample, **words) for _ in range(2))
    for name in ("storyboard.bif", "storyboard-jellyfin.zip"):
        assert _file(first, name) == _file(second, name)


def test_a_dash_track_states_the_sheets(sample: Path, render: Render) -> None:
    done = render(sample, **WORDS, **GRID, trickplay=["dash"])
    board = boards.read(done)
    text = _file(done, "storyboard.mpd").decode()

    size = (480, 2 * board.index["tile_height"])
    assert {sheet.size for sheet in board.sheets.values()} == {size}
    assert 'value="3x2"' in text
    assert f'width="{size[0]}" height="{size[1]}"' in text
    assert 'duration="90000" timescale="10000"' in text
    assert f'mediaPresentationDuration="PT{board.index["duration"]:.3f}S"' in text
    (named,) = [file.names for file in done.files if file.name == "storyboard.mpd"]
    assert named == [one["file"] for one in board.index["sheets"]]


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_stand_in_is_the_tile_of_all_players(
    sample: Path, render: Render, kind: str
) -> None:
    words = {"kind": "storyboard", "format": kind, "fallback": ["icon"]}
    done = render(sample, **words, trickplay=["bif", "dash"])

    (image,) = bif.read(_file(done, "storyboard.bif"))

    sheet = boards.read(done).tile(0)
    with Image.open(io.BytesIO(image.body)) as picture:
        assert _distance(picture, sheet) < NOISE
    assert b'value="1x1"' in _file(done, "storyboard.mpd")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"trickplay": ["bif", "bif"]}, "name each once"),
        ({"trickplay": ["jellyfin"], "format": "webp"}, "Jellyfin reads JPEG only"),
    ],
)
def test_what_no_player_reads_is_refused(words: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        OUTPUT_SPEC.validate_python({"kind": "storyboard", **words})
