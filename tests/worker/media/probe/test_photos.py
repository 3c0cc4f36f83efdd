"""A JPEG with more in it than its picture is one picture; joined JPEGs are a film."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from common.errors import SeekPastEnd
from common.outputs.specs import OUTPUT_SPEC
from tests.acceptance import marks
from tests.conftest import CASES
from worker.media.engine import RenderJob, Watch
from worker.media.source_file import LocalFile


def _jpeg(number, size=(640, 360), **words):
    target = io.BytesIO()
    noise = Image.effect_noise(size, 20 + number).convert("RGB")
    noise.save(target, "JPEG", **words)
    return target.getvalue()


def _stereo():
    """Two views of one size, as cameras with two lenses write them (MPO)."""
    target = io.BytesIO()
    left, right = (Image.effect_noise((640, 360), 20 + n) for n in range(2))
    left.save(target, "MPO", save_all=True, append_images=[right])
    return target.getvalue()


@pytest.mark.parametrize(
    "photo",
    [
        pytest.param((CASES / "ultra-hdr-photo.jpg").read_bytes(), id="gain map"),
        pytest.param(_stereo(), id="stereo"),
        pytest.param(_jpeg(0) + _jpeg(1, (160, 90)), id="smaller copy"),
        pytest.param(_jpeg(0) + b"\xff\xd8\xff\xe0" + bytes(9000), id="other data"),
    ],
)
@pytest.mark.parametrize("kind", ["thumbnail", "animation"])
def test_given_a_photo_with_more_in_it_then_it_is_one_picture(
    engine, workdir, tmp_path, photo, kind
):
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo)

    media = engine.probe(LocalFile(path))
    spec = OUTPUT_SPEC.validate_python({"kind": kind})
    done = engine.render(RenderJob(spec, media, LocalFile(path), workdir), Watch())

    assert (media.video.width, media.video.height) == (640, 360)
    assert (media.video.frames, media.warnings) == (1, [])
    assert done.files[0].frames == 1
    assert "damaged" not in done.warnings


def test_given_joined_pictures_of_one_size_then_they_are_a_film(engine, tmp_path):
    path = tmp_path / "film.mjpeg"
    path.write_bytes(b"".join(_jpeg(number) for number in range(10)))

    assert engine.probe(LocalFile(path)).video.frames == 10


@pytest.mark.parametrize("kind", ["avif", "png", "webp", "gif"])
def test_given_a_picture_when_a_late_time_is_asked_then_it_is_shown(
    engine, workdir, tmp_path, kind
):
    path = tmp_path / f"picture.{kind}"
    Image.new("RGB", (64, 48), "#c01818").save(path)
    spec = {"kind": "thumbnail", "policy": "exact", "time": 3600}
    requested = OUTPUT_SPEC.validate_python(spec)

    done = engine.render(
        RenderJob(requested, engine.probe(LocalFile(path)), LocalFile(path), workdir),
        Watch(),
    )

    assert (done.files[0].width, done.files[0].time) == (64, 0)


def test_given_a_film_of_one_frame_when_a_late_time_is_asked_then_it_fails(
    engine, workdir, make
):
    path = make(
        "film-of-one-frame.mp4", "testsrc2=s=64x48:r=1:d=1", "-pix_fmt", "yuv420p"
    )
    spec = {"kind": "thumbnail", "policy": "exact", "time": 3600}
    requested = OUTPUT_SPEC.validate_python(spec)

    with pytest.raises(SeekPastEnd):
        engine.render(
            RenderJob(
                requested, engine.probe(LocalFile(path)), LocalFile(path), workdir
            ),
            Watch(),
        )


@pytest.mark.parametrize("time", [0, 0.5, 3600, "50%"])
def test_given_a_photo_when_any_time_is_asked_then_it_is_shown(engine, workdir, time):
    path = CASES / "ultra-hdr-photo.jpg"
    spec = {"kind": "thumbnail", "policy": "exact", "time": time}
    requested = OUTPUT_SPEC.validate_python(spec)

    done = engine.render(
        RenderJob(requested, engine.probe(LocalFile(path)), LocalFile(path), workdir),
        Watch(),
    )

    assert (done.files[0].width, done.files[0].time) == (640, 0)


_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_given_a_tiff_with_an_orientation_then_it_is_shown_upright(
    engine, workdir, tmp_path, orientation
):
    drawn, path = marks.draw(77, (192, 108)), tmp_path / "photo.tif"
    if orientation > 1:
        drawn = drawn.transpose(_STORED[orientation])
    drawn.save(path, "TIFF", tiffinfo={274: orientation})
    spec = OUTPUT_SPEC.validate_python({"kind": "thumbnail", "format": "png"})

    media = engine.probe(LocalFile(path))
    done = engine.render(RenderJob(spec, media, LocalFile(path), workdir), Watch())

    with Image.open(done.files[0].path) as picture:
        seen = marks.read(picture)
    assert (media.video.width, media.video.height) == (192, 108)
    assert (seen.number, seen.upright) == (77, True)


@pytest.mark.parametrize("level", [255, 128, 0])
def test_given_a_cmyk_jpeg_then_white_is_white_and_grey_is_grey(
    engine, workdir, tmp_path, level
):
    path = tmp_path / "print.jpg"
    Image.new("CMYK", (64, 48), (255 - level,) * 3 + (0,)).save(path, quality=98)
    spec = OUTPUT_SPEC.validate_python({"kind": "thumbnail", "format": "png"})

    done = engine.render(
        RenderJob(spec, engine.probe(LocalFile(path)), LocalFile(path), workdir),
        Watch(),
    )

    with Image.open(done.files[0].path) as picture:
        assert picture.convert("RGB").getpixel((20, 20)) == (level,) * 3
