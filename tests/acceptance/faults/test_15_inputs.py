"""Sources whose picture, times or transparency were lost on the way in."""

from __future__ import annotations

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
