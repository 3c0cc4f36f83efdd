"""The film is the track that a player shows, and what cannot be shown is named."""

from __future__ import annotations

import subprocess

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from tests.acceptance.decode import decode
from tests.acceptance.service import artifact, output_of
from tests.conftest import CASES

STILL = {"kind": "thumbnail", "time": 0, "format": "png", "policy": "exact"}


def test_a_disabled_track_is_not_the_film_however_large(service):
    job = service.submit(CASES / "disabled_bigger_depth_track.mov", [STILL])

    picture = decode(service.fetch(artifact(job, "thumbnail")).body)[0].picture
    assert picture.size == (320, 180)
    # The disabled track is grey: its red, green and blue are equal everywhere.
    red, green, blue = picture.convert("RGB").split()
    assert red.tobytes() != green.tobytes() or green.tobytes() != blue.tobytes()


def test_a_track_of_an_unknown_codec_is_an_unsupported_format_with_its_tag(service):
    job = service.submit(CASES / "unknown_codec_track_CRAW.mp4", [STILL])

    error = job["error"] or output_of(job, "thumbnail")["error"]
    assert error["code"] == "unsupported_format"
    assert "CRAW" in error["detail"]


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Five slides, one a minute."""
    path = tmp_path_factory.mktemp("films") / "slides.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=s=64x36:r=1/60:d=300")
    argv = [get_ffmpeg_exe(), "-v", "error", *source, "-c:v", "libx264", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path


@pytest.mark.parametrize(("start", "warned"), [(30, True), (58, False)])
def test_an_animation_within_one_slide_says_that_it_has_one_frame(
    service, slides, start, warned
):
    job = service.submit(slides, [{"kind": "animation", "start": start}])

    assert artifact(job, "animation")
    assert ("single_frame" in output_of(job, "animation")["warnings"]) == warned
