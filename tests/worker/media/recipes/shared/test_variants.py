"""One output in several sizes and formats is the same as each asked for alone."""

from __future__ import annotations

import hashlib

import pytest

from common.errors import ResourceLimit
from common.outputs.specs import OUTPUT_SPEC
from tests.golden.cases import PLAIN
from worker.media.engine import RECIPES
from worker.media.ffmpeg.clip import Clip


def sizes(done):
    return [(one.name, one.width, one.height) for one in done.files]


def digests(done):
    return {
        (one.content_type, one.width): hashlib.sha256(one.path.read_bytes()).hexdigest()
        for one in done.files
    }


def test_each_file_has_the_bytes_of_the_still_that_is_asked_for_alone(render, sample):
    several = {"widths": [101, 320], "formats": ["avif", "webp", "jpeg", "png"]}
    words = {"kind": "thumbnail", "time": 4.2}

    together = digests(render(sample, **words, **several))
    alone = {}
    for kind in several["formats"]:
        for width in several["widths"]:
            alone |= digests(render(sample, **words, format=kind, width=width))

    assert len(alone) == 8
    assert together == alone


def test_files_come_by_format_and_the_largest_first(render, sample):
    done = render(
        sample, kind="thumbnail", time=2, widths=[160, 320], formats=["webp", "jpeg"]
    )

    assert sizes(done) == [
        ("thumbnail-320w.webp", 320, 180),
        ("thumbnail-160w.webp", 160, 90),
        ("thumbnail-320w.jpg", 320, 180),
        ("thumbnail-160w.jpg", 160, 90),
    ]
    assert {one.time for one in done.files} == {2.0}
    assert len({one.details["placeholder"] for one in done.files}) == 1


def test_widths_of_the_policy_auto_show_the_frame_that_one_size_shows(render, sample):
    (one,) = render(sample, kind="thumbnail", width=320).files
    both = render(sample, kind="thumbnail", widths=[320, 200]).files

    assert {one.time for one in both} == {one.time}
    assert both[0].path.read_bytes() == one.path.read_bytes()
    assert both[1].details["runners_up"] == one.details["runners_up"]


def test_widths_that_the_source_cannot_fill_are_one_file_with_a_warning(render, sample):
    done = render(sample, kind="thumbnail", time=1, widths=[320, 640, 1280, 1920])

    assert sizes(done)[0] == ("thumbnail-640w.jpg", 640, 360)
    assert len(done.files) == 2
    assert done.warnings == ["fewer_widths"]


def test_with_enlarge_every_width_is_made(render, sample):
    done = render(sample, kind="thumbnail", time=1, widths=[320, 1280], enlarge=True)

    assert [one.width for one in done.files] == [1280, 320]
    assert done.warnings == []


def test_width_and_height_are_the_shape_of_all_widths(render, sample):
    shape = {"width": 10, "height": 15, "fit": "cover"}
    done = render(sample, kind="thumbnail", time=1, widths=[100, 200], **shape)

    assert [one[1:] for one in sizes(done)] == [(200, 300), (100, 150)]


def test_several_stills_are_numbered_by_picture(render, sample):
    done = render(sample, kind="thumbnail", count=2, widths=[64, 128])

    assert [one.name for one in done.files] == [
        "thumbnail-001-128w.jpg",
        "thumbnail-001-64w.jpg",
        "thumbnail-002-128w.jpg",
        "thumbnail-002-64w.jpg",
    ]


@pytest.mark.parametrize("fallback", ["icon", "waveform"])
def test_a_fallback_picture_has_all_sizes_and_formats(render, sample, fallback):
    done = render(
        sample,
        kind="thumbnail",
        fallback=[fallback],
        widths=[101, 320],
        formats=["avif", "png"],
    )

    assert sizes(done) == [
        ("thumbnail-320w.avif", 320, 180),
        ("thumbnail-100w.avif", 100, 56),
        ("thumbnail-320w.png", 320, 180),
        ("thumbnail-100w.png", 100, 56),
    ]


def test_a_sheet_is_drawn_once_and_scaled(render, sample):
    words = {"kind": "contact_sheet", "columns": 2, "rows": 2}
    (alone,) = render(sample, **words, width=960).files
    done = render(sample, **words, widths=[480, 960], formats=["jpeg", "avif"])

    assert [one.name for one in done.files] == [
        "contact-sheet-960w.jpg",
        "contact-sheet-480w.jpg",
        "contact-sheet-960w.avif",
        "contact-sheet-480w.avif",
    ]
    assert [one.width for one in done.files] == [960, 480, 960, 480]
    assert (done.files[0].width, done.files[0].height) == (alone.width, alone.height)
    large, small = done.files[:2]
    assert abs(large.height - 2 * small.height) <= 2
    assert large.details["tile_width"] == pytest.approx(
        2 * small.details["tile_width"], abs=1
    )
    assert large.details["times"] == small.details["times"] == alone.details["times"]


def test_more_pixels_than_one_run_can_hold_are_refused_with_the_bound():
    spec = OUTPUT_SPEC.validate_python(
        {"kind": "thumbnail", "time": 1, "widths": [7680, 7000], "enlarge": True}
    )

    with pytest.raises(ResourceLimit, match="61 megapixels in all; the limit is 60"):
        RECIPES["thumbnail"](spec, Clip("source", PLAIN), None, [])


def test_the_largest_files_of_a_format_use_the_lean_encoder_together():
    spec = OUTPUT_SPEC.validate_python(
        {"kind": "thumbnail", "time": 1, "widths": [3840, 4400], "formats": ["webp"]}
        | {"enlarge": True}
    )
    plan = RECIPES["thumbnail"](spec, Clip("source", PLAIN), None, [])
    words = next(plan.alternatives[0].run()).argv

    assert words.count("-compression_level") == 2
