"""The time of a still is its frame's, also where frames are shorter than a tick."""

from __future__ import annotations

import subprocess

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from tests.acceptance.service import artifact


@pytest.fixture(scope="module", params=["mkv", "flv"])
def film(tmp_path_factory, request):
    """Twenty frames at 240 fps in a container whose clock counts milliseconds."""
    path = tmp_path_factory.mktemp("films") / f"fast.{request.param}"
    source = ("-f", "lavfi", "-i", "testsrc2=s=64x36:r=240", "-frames:v", "20")
    words = ["-pix_fmt", "yuv420p", str(path)]
    argv = [get_ffmpeg_exe(), "-v", "error", *source, *words]
    subprocess.run(argv, check=True, timeout=60)
    return path


@pytest.mark.parametrize("requested", [{}, {"time": 0}, {"time": 0.02}])
def test_a_stated_time_is_a_frames(service, film, requested):
    job = service.submit(film, [{"kind": "thumbnail", **requested}])

    time = artifact(job, "thumbnail")["time"]
    assert time in {round(n / 240, 3) for n in range(20)}
