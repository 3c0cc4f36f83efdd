"""Streams that FFmpeg and PyAV decode differently: animated WebP, alpha in HEVC."""

from __future__ import annotations

import pytest
from PIL import Image

from common.outputs.specs import OUTPUT_SPEC
from tests.conftest import CASES
from worker.media.engine import RenderJob, Watch
from worker.media.source_file import LocalFile

ANIMATED = CASES / "animated_webp_3_frames_6020ms.webp"
CLEAR_HEVC = CASES / "hevc_alpha_x265.mp4"


@pytest.fixture
def render(engine, workdir):
    def _render(path, **spec):
        requested = OUTPUT_SPEC.validate_python(spec)
        job = RenderJob(
            requested, engine.probe(LocalFile(path)), LocalFile(path), workdir
        )
        return engine.render(job, Watch())

    return _render


def test_given_an_animated_webp_then_its_frames_have_their_times(engine):
    media = engine.probe(LocalFile(ANIMATED))

    assert media.warnings == []
    assert (media.container, media.duration) == ("webp_anim", pytest.approx(6.02))
    assert (media.video.frames, media.video.longest_frame) == (3, pytest.approx(5.0))


@pytest.mark.parametrize(
    ("requested", "shown"), [(0, 0), (0.02, 0.02), (3, 0.02), (5.02, 5.02), (6, 5.02)]
)
def test_given_an_animated_webp_then_a_still_is_of_the_frame_at_its_time(
    render, requested, shown
):
    done = render(
        ANIMATED, kind="thumbnail", policy="exact", time=requested, format="png"
    )

    assert done.files[0].time == pytest.approx(shown, abs=0.001)
    assert done.warnings == []


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_given_an_animated_webp_then_an_animation_holds_its_frames_as_long(
    render, kind
):
    spec = {"start": 0, "duration": 6.02, "fps": 30, "format": kind}
    done = render(ANIMATED, kind="animation", **spec)

    assert done.files[0].duration == pytest.approx(6.02, abs=1 / 30)


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_given_hevc_with_an_alpha_layer_then_it_is_transparent(
    render, engine, make, suffix
):
    path = CLEAR_HEVC
    if suffix != ".mp4":
        path = make(f"clear{suffix}", "", "-c", "copy", copy=path)

    media = engine.probe(LocalFile(path))
    done = render(path, kind="thumbnail", policy="exact", time=0, format="png")

    assert (media.video.alpha, media.video.pixel_format) == (True, "yuva420p")
    with Image.open(done.files[0].path) as picture:
        red, green, blue, alpha = picture.getpixel((30, 30))
    assert (red > 245, green < 8, blue < 8) == (True, True, True)
    assert alpha == pytest.approx(102, abs=3)


def test_given_hevc_whose_alpha_layer_is_lost_then_it_is_opaque(render, engine, make):
    # Given Matroska as FFmpeg copies it: without what the second layer needs
    path = make("lost.mkv", "", "-c", "copy", copy=CLEAR_HEVC)

    done = render(path, kind="thumbnail", policy="exact", time=0, format="png")

    assert engine.probe(LocalFile(path)).video.alpha is False
    with Image.open(done.files[0].path) as picture:
        red, green, blue = picture.convert("RGB").getpixel((30, 30))
    assert (red > 245, green < 8, blue < 8) == (True, True, True)


def test_given_hevc_without_layers_then_the_program_is_not_asked(
    engine, make, monkeypatch
):
    words = ("-c:v", "libx265", "-x265-params", "log-level=0")
    clip = make("one_layer.mp4", "testsrc2=s=64x64:r=5:d=1", *words)
    monkeypatch.setattr("worker.media.probe.decoded.decode", None)

    assert engine.probe(LocalFile(clip)).video.alpha is False
