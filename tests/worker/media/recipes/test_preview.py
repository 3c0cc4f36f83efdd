"""Previews: segments across the whole video, and what short videos give."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageSequence

from common.model import MediaInfo, VideoInfo
from common.outputs.specs import PreviewSpec
from tests.worker.media.probe import boxes
from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.ramps import luma, ramp, read_time, x264
from worker.media import warning_codes
from worker.media.ffmpeg.clip import Clip
from worker.media.recipes import preview


def clip(
    end: float | None, width: int = 640, height: int = 360, **words: object
) -> Clip:
    video = VideoInfo(
        index=0,
        codec="h264",
        coded_width=width,
        coded_height=height,
        width=width,
        height=height,
        fps=25.0,
        **words,
    )
    return Clip("source", MediaInfo(container="mov", duration=end, video=video))


def spec(**words: object) -> PreviewSpec:
    return PreviewSpec(kind="preview", **words)


def test_segments_span_what_is_not_excluded() -> None:
    found = preview.segments(spec(), clip(100.0))

    assert len(found) == 12
    assert found[0].start == 5.0
    assert found[-1].end == pytest.approx(95.0)
    assert {round(one.length, 6) for one in found} == {0.75}


@pytest.mark.parametrize(
    ("end", "count", "whole"), [(5.0, 6, False), (0.9, 1, False), (0.4, 1, True)]
)
def test_a_short_video_gives_fewer_segments(
    end: float, count: int, *, whole: bool
) -> None:
    found = preview.segments(spec(), clip(end))

    assert len(found) == count
    assert all(b.start >= a.end - 1e-9 for a, b in pairwise(found))
    assert (found[0].start, found[0].end) == (0.0, 0.4) or not whole


def test_excluding_everything_excludes_nothing() -> None:
    found = preview.segments(spec(exclude_start=60, exclude_end=60), clip(100.0))

    assert found[0].start == 0.0
    assert found[-1].end == pytest.approx(100.0)


def test_excluding_everything_in_seconds_is_told() -> None:
    short, long = (
        preview.plan(spec(exclude_start=60, exclude_end=60), clip(end))
        for end in (100.0, 200.0)
    )

    assert warning_codes.EXCLUSION_IGNORED in short.alternatives[0].warnings
    assert warning_codes.EXCLUSION_IGNORED not in long.alternatives[0].warnings


def test_a_rest_under_one_segment_does_not_bring_the_excluded_ends_back() -> None:
    found = preview.segments(spec(exclude_start=60, exclude_end=39.5), clip(100.0))

    assert [(one.start, one.length) for one in found] == [(59.875, 0.75)]


def test_large_frames_are_decoded_one_segment_at_a_time() -> None:
    run = preview.plan(spec(), clip(100.0, 3840, 2160)).alternatives[0].run()

    assert next(run).argv.count("-i") == 1


def test_the_frames_come_from_their_segments(tmp_path: Path, render: Render) -> None:
    source = ramp(tmp_path / "a.mp4", 40, *x264(50))

    done = render(source, kind="preview", segments=4, segment_duration=1.0, fps=10)

    picture = done.files[0]
    assert picture.frames == 40
    starts = [one["start"] for one in picture.details["segments"]]
    assert starts == pytest.approx([2.0, 13.667, 25.333, 37.0], abs=0.01)
    with Image.open(picture.path) as film:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(film)]
    shown = [read_time(luma(frames[n], (0, 0, 320, 180))) for n in (0, 10, 20, 30)]
    assert shown == pytest.approx(starts, abs=0.2)


@pytest.mark.parametrize("kind", ["webp", "avif", "mp4", "webm"])
def test_every_format_is_made(kind: str, tmp_path: Path, render: Render) -> None:
    source = ramp(tmp_path / "a.mp4", 8, *x264(25))

    done = render(source, kind="preview", format=kind, segments=3, fps=5)

    assert done.files[0].frames in {11, 12}
    assert done.files[0].name == f"preview.{kind}"


@pytest.mark.parametrize("words", [{}, {"max_bytes": 1_000_000}])
def test_a_segment_without_frames_is_not_listed_and_told(
    words: dict[str, object], tmp_path: Path, render: Render
) -> None:
    # Given an index whose last keyframe is none: no frame decodes from there
    source = ramp(tmp_path / "lies.mp4", 60, *x264(375))
    source.write_bytes(boxes.with_keyframes(source.read_bytes(), 1, 376, 751, 1156))

    done = render(source, kind="preview", segments=4, fps=4, **words)

    starts = [one["start"] for one in done.files[0].details["segments"]]
    assert starts == pytest.approx([3.0, 20.75, 38.5])
    assert done.warnings == [warning_codes.WINDOW_MISSING]


def test_max_bytes_is_kept(tmp_path: Path, render: Render) -> None:
    source = ramp(tmp_path / "a.mp4", 20, *x264(25))
    free = render(source, kind="preview").files[0].path.stat().st_size

    done = render(source, kind="preview", max_bytes=max(1000, free // 2))

    assert done.files[0].path.stat().st_size <= max(1000, free // 2)
    assert done.files[0].name == "preview.gif"


def test_one_frame_gives_one_frame(tmp_path: Path, render: Render) -> None:
    source = ramp(tmp_path / "a.mp4", 0.04, *x264(25))

    done = render(source, kind="preview")

    assert done.files[0].frames == 1
    assert done.warnings == [warning_codes.SINGLE_FRAME]


def test_a_single_frame_is_no_lack_of_segments_from_the_start_either() -> None:
    plan = preview.plan(spec(), clip(0.04, frames=1))

    told = [alternative.warnings for alternative in plan.alternatives]
    assert all(warning_codes.SINGLE_FRAME in warnings for warnings in told)
    assert all(warning_codes.FEWER_SEGMENTS not in warnings for warnings in told)


@pytest.mark.needs("gifsicle")
def test_gifsicle_makes_a_preview_smaller(sample: Path, render: Render) -> None:
    spec = {"kind": "preview", "segments": 3, "width": 160}

    small = render(sample, optimize=True, **spec).files[0]

    assert small.details["optimized"]
    assert (
        small.path.stat().st_size < render(sample, **spec).files[0].path.stat().st_size
    )


def test_what_was_not_tone_mapped_does_not_say_so() -> None:
    plan = preview.plan(spec(), clip(60.0, hdr="hdr10"))

    told = {alternative.name: alternative.warnings for alternative in plan.alternatives}
    assert warning_codes.TONE_MAPPED in told["seeks"]
    assert warning_codes.TONE_MAPPED not in told["seeks_plain"]
    assert warning_codes.TONE_MAPPED not in plan.warnings
