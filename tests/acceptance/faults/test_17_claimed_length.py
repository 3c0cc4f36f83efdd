"""A length that is only claimed is judged as such, and nobody waits for it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.conftest import SAMPLE

LENGTH = 1_577_836_800  # 50 years
GIF = [{"kind": "animation", "width": 64, "fps": 5, "start": 1, "duration": 1}]
SNIPPETS = [{"kind": "snippets"}]


def two_frames(path: Path, seconds: int) -> Path:
    """Write a film of two frames, the second due after ``seconds``."""
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi"]
    argv += ["-i", "color=red:s=64x48:r=1:d=2"]
    argv += ["-vf", f"settb=1/1,setpts=N*{seconds}", "-fps_mode", "passthrough"]
    argv += ["-enc_time_base", "1", "-video_track_timescale", "1"]
    argv += ["-pix_fmt", "yuv420p", "-y", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    assert path.stat().st_size < 3000
    return path


@pytest.mark.parametrize("kind", ["snippets", "storyboard", "thumbnail"])
def test_a_claimed_length_of_50_years_is_too_long(service, tmp_path, kind):
    job = service.post(two_frames(tmp_path / "lie.mp4", LENGTH), [{"kind": kind}])
    beside = service.post(SAMPLE, GIF)
    began = time.monotonic()

    ended = service.wait(beside, seconds=100)
    job = service.wait(job, seconds=60)

    assert ended["status"] == "completed", ended["error"]
    assert time.monotonic() - began < 100
    assert (job["status"], job["error"]["code"]) == ("failed", "too_long")
    assert f"{LENGTH + 1} seconds" in job["error"]["detail"]


def test_two_slides_of_hours_are_shown(service, tmp_path):
    film = two_frames(tmp_path / "slides.mp4", 9000)

    job = service.submit(film, [{"kind": "storyboard", "interval": 600, "width": 64}])

    assert job["status"] == "completed", job["error"]
    assert job["media"]["duration"] == pytest.approx(9001)
