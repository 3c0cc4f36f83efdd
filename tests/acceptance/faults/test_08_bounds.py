"""Fault 8: what lies within the bounds is made, and not refused after minutes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.acceptance.service import artifact, output_of


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty seconds of 1280x720 at 30 fps, cheap to decode and to encode."""
    path = tmp_path_factory.mktemp("films") / "long.mp4"
    source = "smptebars=s=1280x720:r=30:d=30"
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi"]
    argv += ["-i", source, "-c:v", "libx264", "-preset", "ultrafast"]
    argv += ["-pix_fmt", "yuv420p", str(path)]
    subprocess.run(argv, check=True, timeout=120)
    return path


def test_an_avif_of_the_longest_and_largest_is_made_at_once(film, service):
    spec = {"kind": "animation", "format": "avif", "start": 0, "width": 1280}

    job = service.submit(film, [spec | {"duration": 30.0, "fps": 30.0}], seconds=600)

    made = artifact(job, "animation")
    assert (made["width"], made["height"], made["frames"]) == (1280, 720, 900)
    assert made["duration"] == pytest.approx(30, abs=0.05)
    (attempt,) = output_of(job, "animation")["attempts"]
    assert attempt["error"] is None
