"""Sizes: the shape is kept, nothing grows, video sizes are even."""

from __future__ import annotations

import pytest

from common.outputs.specs import ThumbnailSpec
from worker.media.recipes.shared import encoders, picture


def _fit(source, even=False, **words):
    spec = ThumbnailSpec(kind="thumbnail", **words)
    box = picture.fit(source, spec, 640, even=even)
    return box.scaled, (box.width, box.height)


@pytest.mark.parametrize(
    ("source", "words", "size"),
    [
        ((1920, 1080), {}, (640, 360)),
        ((320, 180), {}, (320, 180)),
        ((1080, 1920), {}, (640, 1138)),
        ((1920, 1080), {"height": 90}, (160, 90)),
        ((1920, 1080), {"width": 100, "height": 100}, (100, 56)),
        ((1080, 1920), {"width": 100, "height": 100}, (56, 100)),
        ((320, 180), {"width": 640, "enlarge": True}, (640, 360)),
        ((4096, 16), {}, (640, 2)),
        ((1, 1), {}, (1, 1)),
        ((10000, 2), {}, (640, 1)),
        ((2, 7000), {"width": 640, "enlarge": True}, (2, 7680)),
        ((2, 9000), {"width": 640, "enlarge": True}, (2, 9000)),
    ],
)
def test_given_contain_when_fitted_then_the_whole_picture_keeps_its_shape(
    source, words, size
):
    assert _fit(source, **words) == (size, size)


@pytest.mark.parametrize(
    ("source", "scaled", "size"),
    [
        ((1920, 1080), (356, 200), (200, 200)),
        ((1080, 1920), (200, 356), (200, 200)),
        ((160, 90), (160, 90), (90, 90)),
        ((2, 7000), (2, 7000), (2, 2)),
    ],
)
def test_given_cover_when_fitted_then_the_box_is_full_and_nothing_grows(
    source, scaled, size
):
    assert _fit(source, width=200, height=200, fit="cover") == (scaled, size)


@pytest.mark.parametrize(
    ("source", "scaled"),
    [((1920, 1080), (200, 112)), ((100, 50), (100, 50))],
)
def test_given_pad_when_fitted_then_the_canvas_is_as_asked(source, scaled):
    found = _fit(source, width=200, height=200, fit="pad")

    assert found == (scaled, (200, 200))


def test_given_stretch_when_fitted_then_the_box_is_as_asked():
    assert _fit((1920, 1080), width=200, height=200, fit="stretch")[1] == (200, 200)


def test_given_stretch_over_the_source_when_fitted_then_the_box_shrinks_whole():
    found = _fit((320, 180), width=400, height=100, fit="stretch")

    assert found[1] == (320, 80)


@pytest.mark.parametrize("source", [(853, 479), (1, 1), (321, 3)])
def test_given_video_when_fitted_then_both_sides_are_even(source):
    _, (width, height) = _fit(source, even=True)

    assert width % 2 == height % 2 == 0
    assert min(width, height) >= 2


@pytest.mark.parametrize(
    ("quality", "scale"), [(100, 1), (90, 2), (80, 5), (50, 12), (10, 31), (1, 31)]
)
def test_given_a_quality_when_it_is_for_jpeg_then_the_scale_follows_libjpeg(
    quality, scale
):
    assert encoders.jpeg_scale(quality) == scale


@pytest.mark.parametrize(("times", "loop"), [(0, 0), (1, -1), (2, 1), (65535, 65534)])
def test_given_how_often_it_plays_when_a_gif_is_written_then_repeats_are_one_less(
    times, loop
):
    assert encoders.gif_loop(times) == loop


def test_given_a_strip_when_cover_may_enlarge_it_then_what_is_cropped_stays_bounded():
    words = {"width": 7680, "height": 7680, "fit": "cover", "enlarge": True}

    scaled, size = _fit((2, 7000), **words)

    assert max(scaled) == 2 * 7680
    assert size[0] == size[1] == scaled[0]
