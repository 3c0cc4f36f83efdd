"""Tiles of footage are the frames of their times, and of no other time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.worker.media.recipes import boards
from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.ramps import ffmpeg

Maker = Callable[[Path, Path], Path]
# Two frames of 30 a second: pictures next to each other can be alike.
NEAR = 0.07
INTERVAL = 1.0
ENCODER_NOISE = 0.3


def _encoded(
    name: str, *words: str, codec: str = "libx264", filters: str = "null"
) -> Maker:
    def make(sample: Path, folder: Path) -> Path:
        path = folder / name
        chain = f"scale=320:180,{filters}"
        preset = ("-preset", "ultrafast") if codec.startswith("libx") else ()
        options = ("-an", "-vf", chain, "-c:v", codec, *preset, "-g", "30", *words)
        ffmpeg("-i", str(sample), *options, str(path))
        return path

    return make


def _copied(base: Maker, name: str, *words: str, before: tuple[str, ...] = ()) -> Maker:
    def make(sample: Path, folder: Path) -> Path:
        path = folder / name
        ffmpeg(
            *before, "-i", str(base(sample, folder)), "-c", "copy", *words, str(path)
        )
        return path

    return make


_B_FRAMES = _encoded("b.mp4", "-bf", "3", "-x264-params", "b-pyramid=normal:scenecut=0")
_MPEG2 = ("-q:v", "3", "-bf", "2")
CLIPS: dict[str, Maker] = {
    "B-frames": _B_FRAMES,
    "open GOP of H.264": _encoded("o.mkv", "-bf", "3", "-x264-params", "open-gop=1"),
    "open GOP of HEVC": _encoded(
        "o.mp4", "-x265-params", "open-gop=1:bframes=4:log-level=error", codec="libx265"
    ),
    "one keyframe": _encoded("l.mp4", "-g", "9999", "-sc_threshold", "0"),
    "variable rate": _encoded(
        *("v.mkv", "-fps_mode", "vfr"),
        filters="select='not(mod(n\\,5))+lt(mod(n\\,60)\\,20)'",
    ),
    "interlaced stream": _encoded(
        *("i.ts", *_MPEG2, "-flags", "+ildct+ilme"),
        codec="mpeg2video",
        filters="tinterlace=interleave_top,setfield=tff",
    ),
    "stream from 700 s on": _copied(_B_FRAMES, "s.ts", "-output_ts_offset", "700"),
    "late start": _copied(_B_FRAMES, "s.mkv", "-output_ts_offset", "5"),
    "edit list": _copied(_B_FRAMES, "e.mp4", before=("-ss", "1.3")),
    "fragments": _copied(_B_FRAMES, "f.mp4", "-movflags", "frag_keyframe+empty_moov"),
    "anamorphic": _encoded("a.mp4", filters="scale=160:180,setsar=2"),
    "portrait": _copied(
        _B_FRAMES, "p.mp4", before=("-display_rotation:v:0", "90", "-noautorotate")
    ),
    "packed old AVI": _encoded("x.avi", *_MPEG2, codec="mpeg4"),
}


@pytest.mark.parametrize("name", CLIPS)
def test_tiles_are_the_frames_of_their_times(
    name: str, sample: Path, tmp_path: Path, render: Render
) -> None:
    source = CLIPS[name](sample, tmp_path)
    board = boards.read(render(source, kind="storyboard", interval=INTERVAL, columns=4))
    turned = board.index["tile_height"] > board.index["tile_width"]
    size = (board.index["tile_width"], board.index["tile_height"])
    film = list(boards.frames(source, size[::-1] if turned else size))

    wrong = []
    for place, tile in enumerate(board.index["tiles"]):
        shown = board.tile(place).convert("L")
        upright = shown.transpose(Image.Transpose.ROTATE_270) if turned else shown
        far = [(boards.distance(upright, one), time) for time, one in film]
        at = min(far, key=lambda one: abs(one[1] - tile["time"]))
        best = min(far)
        if at[0] > best[0] + ENCODER_NOISE and abs(best[1] - tile["time"]) > NEAR:
            wrong.append((tile["time"], best, at))
    assert wrong == []
    assert boards.disagreements(board) == []
    assert board.index["tiles"][-1]["time"] > film[-1][0] - INTERVAL
    assert board.index["duration"] == pytest.approx(film[-1][0], abs=0.25)


def test_sheets_in_avif_open_elsewhere_than_in_ffmpeg(
    sample: Path, render: Render
) -> None:
    words = {"interval": 1.0, "columns": 2, "rows": 2, "width": 96, "format": "avif"}
    made = render(sample, kind="storyboard", **words)
    sheets = [file.path for file in made.files if file.name.endswith(".avif")]

    sizes = []
    for sheet in sheets:
        with Image.open(sheet) as picture:
            sizes.append(picture.size)
    assert sizes == [(192, 108), (192, 108), (192, 54)]


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
def test_an_unused_cell_of_the_last_sheet_shows_the_ground_alone(
    sample: Path, render: Render, kind: str
) -> None:
    """A block of the encoder, 16 pixels, may hold the edge of the tile beside it."""
    words = {"count": 9, "columns": 4, "rows": 3, "width": 160, "format": kind}
    made = render(sample, kind="storyboard", **words)
    (sheet,) = [file.path for file in made.files if "001" in file.name]

    with Image.open(sheet) as picture:
        shown = picture.convert("RGB")
    width, height = shown.width // 4, shown.height // 3
    cells = [
        shown.crop((x * width + 16, 2 * height + 16, (x + 1) * width, 3 * height))
        for x in range(4)
    ]

    brightest = [max(cell.tobytes()) for cell in cells]
    assert brightest[0] > 100
    assert max(brightest[1:]) <= 2
