"""Transparency that an AVIF keeps in a picture or track beside its colours."""

from __future__ import annotations

import pytest

from tests.acceptance.decode import decode
from tests.acceptance.service import artifact, output_of
from tests.conftest import CASES

# The right half is transparent in every frame.
SEQUENCE = CASES / "animated_avif_alpha_track.avif"
STILL = {"kind": "thumbnail", "time": 2, "policy": "exact"}
LEFT, RIGHT = (20, 45), (140, 45)


@pytest.fixture(scope="module")
def job(service):
    moving = {"kind": "animation", "width": 160, "start": 0, "duration": 1}
    return service.submit(
        SEQUENCE,
        [
            STILL | {"name": "png", "format": "png"},
            STILL | {"name": "jpeg", "format": "jpeg", "background": "#ff0000"},
            moving | {"name": "gif", "format": "gif"},
            moving | {"name": "webp", "format": "webp"},
        ],
    )


@pytest.mark.parametrize("name", ["png", "gif", "webp"])
def test_transparency_is_kept_where_the_format_can(service, job, name):
    assert output_of(job, name)["status"] == "succeeded"

    frames = decode(service.fetch(artifact(job, name)).body)

    for frame in frames:
        assert frame.picture.mode == "RGBA"
        assert frame.picture.getpixel(LEFT)[3] == 255
        assert frame.picture.getpixel(RIGHT)[3] == 0


def test_the_background_shows_where_the_format_cannot(service, job):
    picture = decode(service.fetch(artifact(job, "jpeg")).body)[0].picture

    red, green, blue = picture.getpixel(RIGHT)
    assert red > 245
    assert max(green, blue) < 10
