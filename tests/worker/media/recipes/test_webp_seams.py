"""An animated WebP redraws only what changed, and no seams show around that."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageFilter, ImageSequence

from tests.worker.media.conftest import Make
from tests.worker.media.recipes.conftest import Render

_RATE, _FRAMES = 10, 10
_SPANS = {
    "animation": {"start": 0, "duration": _FRAMES / _RATE},
    "preview": {"segments": 1, "segment_duration": _FRAMES / _RATE},
}
# Seams cover the length of a block, so lines of about that length are judged.
_LENGTH = 15


def _film(width: int, height: int) -> str:
    """Return FFmpeg's words for a faint square that crosses a still of many colours."""
    size = f"s={width}x{height}:r={_RATE}"
    waves = "cb=128+90*sin(X/30+Y/50):cr=128+90*cos(X/40-Y/30)"
    return (
        f"color={size},format=yuv444p,trim=end_frame=1,geq=lum=110+X/8:{waves}"
        f",loop={_FRAMES - 1}:1[still];"
        f"color=black@0.1:s=30x30:r={_RATE},format=yuva444p[square];"
        "[still][square]overlay=x=20+100*t:y=20+60*t:shortest=1"
    )


def _decoded(film: Path, ffmpeg: str, folder: Path) -> list[Image.Image]:
    folder.mkdir()
    argv = [ffmpeg, "-v", "error", "-i", film, folder / "%02d.png"]
    subprocess.run(argv, check=True, timeout=60)
    return [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]


def _seam(shown: Image.Image, film: Image.Image) -> int:
    """Return by how many levels the error of a line exceeds that on its sides."""
    error = ImageChops.difference(shown, film)
    worst = 0
    for turned in (error, error.transpose(Image.Transpose.TRANSPOSE)):
        width, height = turned.size
        lines = turned.resize((width, height // _LENGTH), Image.Resampling.BOX)
        sides = lines.filter(ImageFilter.MedianFilter(5))
        over = ImageChops.subtract(lines, sides).getextrema()
        worst = max(worst, *(int(most) for _, most in over))
    return worst


@pytest.mark.parametrize(
    ("kind", "size"),
    [("animation", (320, 180)), ("animation", (360, 640)), ("preview", (322, 182))],
)
def test_given_a_change_in_a_still_picture_then_no_seams_show_around_it(
    render: Render,
    make: Make,
    ffmpeg: str,
    tmp_path: Path,
    kind: str,
    size: tuple[int, int],
) -> None:
    lossless = ("-pix_fmt", "yuv420p", "-c:v", "ffv1")
    film = make(f"seams-{size[0]}.mkv", _film(*size), *lossless)
    pictures = _decoded(film, ffmpeg, tmp_path / "decoded")
    words = {"format": "webp", "width": size[0], "fps": _RATE, "quality": 95}

    made = render(film, kind=kind, **words, **_SPANS[kind]).files[0]

    with Image.open(made.path) as file:
        shown = [frame.convert("RGB") for frame in ImageSequence.Iterator(file)]
    assert made.frames == len(shown) == len(pictures) == _FRAMES
    # The seams of blocks of 16 x 16 pixels exceed their sides by 67 levels.
    assert max(map(_seam, shown, pictures)) < 25
    # Unchanged blocks are not drawn again.
    still = tmp_path / "still.webp"
    pictures[0].save(still, quality=95)
    assert made.path.stat().st_size < _FRAMES * still.stat().st_size * 0.7
