"""HEVC whose every picture is one field: two of them are one frame."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops, ImageStat

from common.outputs.specs import OUTPUT_SPEC
from tests.conftest import CASES
from worker.media.engine import RenderJob, Watch
from worker.media.source_file import LocalFile

_SOURCE = "testsrc2=s=160x96:r=50:d=1"
_X265 = ("-c:v", "libx265", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="module")
def whole(make):
    return make("whole_frames.mp4", _SOURCE, "-pix_fmt", "yuv420p", "-g", "10")


@pytest.fixture(scope="module", params=["tff", "bff"])
def fields(request, make):
    order = request.param
    params = f"log-level=0:interlace={order}:keyint=20:min-keyint=20"
    source = f"{_SOURCE},setfield={order},separatefields"
    return make(f"fields_{order}.mp4", source, *_X265, "-x265-params", params)


@pytest.fixture
def still(engine, workdir):
    def _still(path, **spec):
        requested = {"kind": "thumbnail", "format": "png", "policy": "exact"} | spec
        spec = OUTPUT_SPEC.validate_python(requested)
        done = engine.render(
            RenderJob(spec, engine.probe(LocalFile(path)), LocalFile(path), workdir),
            Watch(),
        )
        with Image.open(done.files[0].path) as picture:
            return picture.convert("RGB"), done.files[0].time

    return _still


def _apart(one, two):
    """Return how far two pictures are apart: the mean of 255 levels."""
    return max(ImageStat.Stat(ImageChops.difference(one, two)).mean)


def test_given_fields_then_the_facts_are_of_frames(engine, fields):
    media = engine.probe(LocalFile(fields))

    video = media.video
    assert (video.width, video.height, video.fps, video.frames) == (160, 96, 50, 50)
    assert media.duration == pytest.approx(1.0, abs=0.01)
    assert video.interlaced
    assert media.warnings == []


@pytest.mark.parametrize("time", [0, 0.3, 0.505, 0.51, 0.98])
def test_given_fields_then_the_frame_of_the_two_at_that_time_is_shown(
    still, fields, whole, time
):
    picture, at = still(fields, time=time)
    wanted, begin = still(whole, time=time)
    other, _ = still(whole, time=time + 0.1 if time < 0.9 else 0.8)

    assert at == pytest.approx(begin, abs=0.002)
    assert picture.size == (160, 96)
    assert 1.5 * _apart(picture, wanted) < _apart(other, wanted)


def test_given_fields_when_a_keyframe_is_asked_then_it_is_of_one_field(
    still, fields, whole
):
    picture, at = still(fields, time=0.5, policy="keyframe")
    wanted, _ = still(whole, time=at)

    assert at == pytest.approx(0.4, abs=0.002)
    assert picture.size == (160, 96)
    assert _apart(picture, wanted) < 20


def test_given_fields_then_an_animation_shows_them_in_their_order(
    engine, workdir, fields
):
    spec = {"kind": "animation", "start": 0.2, "duration": 0.5, "format": "gif"}
    requested = OUTPUT_SPEC.validate_python(spec | {"fps": 20})
    job = RenderJob(
        requested, engine.probe(LocalFile(fields)), LocalFile(fields), workdir
    )

    done = engine.render(job, Watch())

    file = done.files[0]
    assert (file.width, file.height, file.frames) == (160, 96, 10)
    assert done.warnings == []


def test_given_the_case_of_half_height_then_it_is_shown_whole(engine):
    video = engine.probe(LocalFile(CASES / "hevc-field-pairs.mp4")).video

    assert (video.width, video.height, video.fps) == (160, 96, 50)
