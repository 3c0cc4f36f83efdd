"""A ten-hour stream gives what costs the same at any length."""

from __future__ import annotations

import subprocess

import imageio_ffmpeg
import pytest

from tests.acceptance.decode import decode
from tests.acceptance.service import artifact, output_of

HOURS = 10


def _film(path, hours, rate):
    """Repeat a minute without encoding it again."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    short = path.with_name(f"short-{path.name}")
    graph = f"testsrc2=s=64x48:r={rate}:d=60"
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "40", "-g", "60"]
    encode += ["-bf", "0", "-pix_fmt", "yuv420p"]
    argv = [ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i", graph, *encode]
    subprocess.run([*argv, str(short)], check=True, timeout=60)
    again = str(hours * 60 - 1)
    argv = [ffmpeg, "-v", "error", "-y", "-stream_loop", again, "-i", str(short)]
    subprocess.run([*argv, "-c", "copy", str(path)], check=True, timeout=60)
    return path


def test_a_ten_hour_stream_gives_stills_and_a_storyboard(service, tmp_path):
    job = service.submit(
        _film(tmp_path / "stream.mp4", HOURS, rate=1),
        [
            {"kind": "thumbnail", "time": "50%"},
            {"kind": "storyboard", "count": 20, "width": 64},
            {"kind": "animation", "duration": 3},
        ],
    )

    assert job["error"] is None
    assert job["media"]["duration"] == pytest.approx(HOURS * 3600, abs=2)
    still = artifact(job, "thumbnail")
    assert still["time"] == pytest.approx(HOURS * 1800, abs=1)
    assert decode(service.fetch(still).body)
    index = service.fetch(artifact(job, "storyboard", "storyboard.json")).json()
    assert len(index["tiles"]) == 20
    assert artifact(job, "animation")["frames"] > 1


def test_snippets_of_a_film_too_long_to_decode_say_which_limit(start_service, tmp_path):
    film = _film(tmp_path / "film.mp4", hours=1, rate=5)
    with start_service(FRAMEMILL_LIMITS_DECODED_SECONDS="300") as service:
        outputs = [{"kind": "thumbnail", "time": 5}, {"kind": "snippets"}]
        job = service.submit(film, outputs)

    assert job["status"] == "partial"
    assert artifact(job, "thumbnail")["time"] == pytest.approx(5, abs=0.3)
    error = output_of(job, "snippets")["error"]
    assert error["code"] == "too_long"
    assert "600 seconds at 30 frames a second" in error["detail"]
    assert "FRAMEMILL_LIMITS_DECODED_SECONDS" in error["hint"]
