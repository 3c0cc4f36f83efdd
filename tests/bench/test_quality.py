"""Pictures are compared with the film at their own size, whatever that is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from common.settings.load import Settings
from tests.bench.quality import Quality
from worker.media.ffmpeg import binary


@pytest.mark.parametrize("size", ["240x135", "240x136"])
def test_a_picture_of_an_odd_height_is_compared_too(size: str, tmp_path: Path) -> None:
    ffmpeg = Path(binary.path(Settings.model_validate({"api": {"secret": "x" * 32}})))
    film, picture = tmp_path / "film.mp4", tmp_path / "made.gif"
    source = ("-f", "lavfi", "-i", "testsrc=s=1280x720:r=10:d=1")
    for words in ([*source, film], ["-i", film, "-s", size, picture]):
        subprocess.run([ffmpeg, "-v", "error", *words], check=True)

    quality = Quality(ffmpeg, tmp_path / "quality")
    assert 0.8 < quality.ssim(picture.read_bytes(), film, 0, fps=10) < 1
