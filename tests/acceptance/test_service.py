"""The suite's own verbs, on the sample clip."""

from __future__ import annotations

import hashlib

import pytest

from tests.acceptance.decode import decode
from tests.acceptance.service import artifact
from tests.conftest import SAMPLE

OUTPUTS = [
    {"kind": "thumbnail", "width": 160, "time": 1},
    {"kind": "storyboard", "width": 64, "interval": 2},
    *(
        {
            "kind": "animation",
            "name": kind,
            "format": kind,
            "width": 64,
            "fps": 5,
            "start": 1,
            "duration": 1,
        }
        for kind in ("gif", "webp", "avif", "mp4", "webm")
    ),
]


@pytest.fixture(scope="module")
def job(service):
    return service.submit(SAMPLE, OUTPUTS)


def test_every_artifact_is_fetched_with_its_bytes_and_its_type(service, job):
    assert job["status"] == "completed", job["error"]

    files = service.fetch_all(job)

    assert len(files) == 10
    for output in job["outputs"]:
        for stated in output["artifacts"]:
            file = files[output["name"], stated["name"]]
            assert hashlib.sha256(file.body).hexdigest() == stated["sha256"]
            assert len(file.body) == stated["bytes"]
            assert file.content_type == stated["content_type"]


@pytest.mark.parametrize("index", ["vtt", "json", "m3u8"])
def test_the_names_in_an_index_lead_to_its_sheets(service, job, index):
    stated = artifact(job, "storyboard", f"storyboard.{index}")

    (sheet,) = service.follow(stated["url"])

    assert sheet.name == "storyboard-001.jpg"
    assert decode(sheet.body)[0].picture.width == 64 * 5


@pytest.mark.parametrize("kind", ["gif", "webp", "avif", "mp4", "webm"])
def test_a_moving_picture_is_read_frame_by_frame(service, job, kind):
    frames = decode(service.fetch(artifact(job, kind)).body)

    assert len(frames) == 5
    assert [f.start for f in frames] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8], abs=0.02)
    assert sum(f.duration for f in frames) == pytest.approx(1, abs=0.02)
    assert {f.picture.size for f in frames} == {(64, 36)}
