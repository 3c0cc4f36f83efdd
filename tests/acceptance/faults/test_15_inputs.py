"""Sources whose picture, times or transparency were lost on the way in."""

from __future__ import annotations

import pytest

from tests.acceptance.decode import decode
from tests.acceptance.service import artifact
from tests.conftest import CASES

STILL = {"kind": "thumbnail", "time": 0, "format": "png", "policy": "exact"}


def test_a_photo_in_tiles_is_shown_whole(service):
    job = service.submit(CASES / "grid_avif_4_tiles.avif", [STILL])

    picture = decode(service.fetch(artifact(job, "thumbnail")).body)[0].picture
    assert picture.size == (640, 480)
    # FFmpeg's test picture: white on the left, cyan and white in its right corner.
    assert min(picture.getpixel((60, 240))[:3]) > 240
    assert min(picture.getpixel((600, 20))[:3]) > 240
    assert picture.getpixel((540, 20))[0] < 60


def test_an_animated_webp_keeps_its_length_and_the_times_of_its_frames(service):
    moving = {"kind": "animation", "start": 0, "duration": 6.02, "fps": 30}
    job = service.submit(
        CASES / "animated_webp_3_frames_6020ms.webp",
        [
            moving | {"name": "gif", "format": "gif"},
            moving | {"name": "webp", "format": "webp"},
            {"kind": "storyboard", "interval": 1},
        ],
    )

    assert job["media"]["duration"] == pytest.approx(6.02)
    assert job["media"]["video"]["frames"] == 3
    assert "damaged" not in job["warnings"]
    for name in ("gif", "webp"):
        frames = decode(service.fetch(artifact(job, name)).body)
        shown = _lengths(frames)
        assert shown == pytest.approx([0.02, 5.0, 1.0], abs=1 / 30), name
    index = service.fetch(artifact(job, "storyboard", "storyboard.json")).json()
    assert index["tiles"][-1]["end"] == pytest.approx(6.02)


def _lengths(frames):
    """Return how long each picture is shown; a GIF repeats them."""
    found = []
    last = None
    for frame in frames:
        if last is not None and frame.picture.tobytes() == last:
            found[-1] += frame.duration
        else:
            found.append(frame.duration)
        last = frame.picture.tobytes()
    return found


def test_hevc_with_an_alpha_layer_is_transparent(service):
    job = service.submit(
        CASES / "hevc_alpha_x265.mp4",
        [
            STILL | {"name": "clear"},
            STILL | {"name": "ground", "format": "jpeg", "background": "#00ff00"},
        ],
    )

    clear, ground = (
        decode(service.fetch(artifact(job, name)).body)[0].picture
        for name in ("clear", "ground")
    )
    assert job["media"]["video"]["alpha"]
    assert clear.getpixel((30, 30))[3] == pytest.approx(102, abs=3)
    assert ground.getpixel((30, 30))[1] == pytest.approx(153, abs=6)
