"""An hour of numbered frames: every tile is the frame of its time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
from PIL import Image

from tests.worker.media.recipes import boards
from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.ramps import x264

FPS, SECONDS = 5, 3600
COLUMNS, ROWS = 8, 2
SIDE = 40


def _numbered(number: int) -> bytes:
    """Draw a number as two rows of eight squares, a white one for a 1."""
    bits = f"{number:016b}"
    return bytes(255 if bit == "1" else 0 for bit in bits)


def _read(tile: Image.Image) -> int:
    grey = tile.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
    return int("".join("1" if level > 127 else "0" for level in grey.tobytes()), 2)


@pytest.fixture
def hour(tmp_path: Path) -> Path:
    path = tmp_path / "hour.mp4"
    size = f"{COLUMNS * SIDE}x{ROWS * SIDE}"
    raw = ("-f", "rawvideo", "-pixel_format", "gray", "-framerate", str(FPS))
    scale = ("-vf", f"scale={size}:flags=neighbor,format=yuv420p")
    words = (*raw, "-video_size", f"{COLUMNS}x{ROWS}", "-i", "pipe:0", *scale)
    # Groups of 36 frames: keyframes lie at other places in each cell of time.
    argv = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        *words,
        *x264(36),
        str(path),
    ]
    film = b"".join(_numbered(number) for number in range(FPS * SECONDS))
    subprocess.run(argv, input=film, check=True, timeout=100)
    return path


def test_every_tile_of_an_hour_bears_the_number_of_its_time(
    hour: Path, render: Render
) -> None:
    board = boards.read(render(hour, kind="storyboard"))

    tiles = board.index["tiles"]
    read = [_read(board.tile(place)) for place in range(len(tiles))]
    assert read == [round(tile["time"] * FPS) for tile in tiles]
    assert len(tiles) == SECONDS // 10
    assert tiles[-1]["time"] >= SECONDS - 10
    assert boards.disagreements(board) == []
