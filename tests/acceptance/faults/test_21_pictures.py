"""What makes one picture is shown as one: two fields, a photo with its gain map."""

from __future__ import annotations

import pytest

from tests.acceptance.decode import decode
from tests.acceptance.service import artifact, output_of
from tests.conftest import CASES

STILL = {"kind": "thumbnail", "format": "png", "policy": "exact"}


def test_hevc_coded_as_fields_is_shown_at_its_whole_height(service):
    job = service.submit(
        CASES / "hevc-field-pairs.mp4",
        [
            STILL | {"time": 0.5},
            {"kind": "animation", "format": "gif", "start": 0, "fps": 10},
        ],
    )

    video = job["media"]["video"]
    assert (video["width"], video["height"], video["fps"]) == (160, 96, 50)
    still = artifact(job, "thumbnail")
    assert still["time"] == pytest.approx(0.5, abs=0.011)
    assert decode(service.fetch(still).body)[0].picture.size == (160, 96)
    moving = decode(service.fetch(artifact(job, "animation")).body)
    assert moving[0].picture.size == (160, 96)


def test_a_photo_with_a_gain_map_is_one_picture(service):
    job = service.submit(
        CASES / "ultra-hdr-photo.jpg",
        [
            STILL | {"time": 0.5},
            {"kind": "animation", "format": "gif"},
            {"kind": "contact_sheet"},
        ],
    )

    assert job["status"] == "completed", job["error"]
    assert job["media"]["video"]["frames"] == 1
    picture = decode(service.fetch(artifact(job, "thumbnail")).body)[0].picture
    assert picture.size == (640, 360)
    pixels = picture.convert("RGB").resize((32, 18)).tobytes()
    assert any(
        max(rgb) - min(rgb) > 20 for rgb in zip(*[iter(pixels)] * 3, strict=True)
    )
    moving = decode(service.fetch(artifact(job, "animation")).body)
    assert len({frame.picture.tobytes() for frame in moving}) == 1
    assert "single_frame" in output_of(job, "animation")["warnings"]
