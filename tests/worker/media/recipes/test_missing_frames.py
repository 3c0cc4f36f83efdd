"""Requests for frames that do not exist: too many, after the end, or never found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import SeekPastEnd
from tests.worker.media.probe import boxes
from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.ramps import ramp, x264


@pytest.fixture
def three(make) -> Path:
    """Three frames, a tenth of a second each."""
    words = ("-pix_fmt", "yuv420p", "-g", "1")
    return make("three.mp4", "testsrc2=s=64x64:r=10:d=0.3", *words)


@pytest.mark.parametrize(
    "words",
    [
        {"kind": "thumbnail", "time": 60.0},
        {"kind": "animation", "start": "90%", "end": 2.0},
    ],
)
def test_a_time_past_the_end_leads_to_the_next_fallback(
    render: Render, film: Path, words: dict[str, object]
) -> None:
    done = render(film, fallback=["frame", "icon"], **words)

    told = [(one.rung, one.error and one.error.code) for one in done.reports]
    assert told == [("frame", "seek_past_end"), ("icon", None)]
    assert done.warnings == ["icon_shown"]


def test_a_time_past_the_end_is_an_error_where_nothing_may_stand_in(
    render: Render, film: Path
) -> None:
    with pytest.raises(SeekPastEnd) as caught:
        render(film, kind="thumbnail", time=60.0)

    assert "fallback" in (caught.value.hint or "")
    assert len(caught.value.reports) == 1


def test_a_false_index_leads_to_no_later_frame(tmp_path: Path, render: Render) -> None:
    source = ramp(tmp_path / "lies.mp4", 60, *x264(375))
    source.write_bytes(boxes.with_keyframes(source.read_bytes(), 1, 406, 751, 1156))

    done = render(source, kind="thumbnail", times=[20.0, 29.0, 50.0])

    assert [one.time for one in done.files] == pytest.approx([20, 29, 50], abs=0.04)
    assert "led to the frame at 30 s" in done.reports[0].error.detail


@pytest.mark.parametrize("policy", ["exact", "keyframe", "auto"])
def test_a_count_over_the_frames_gives_each_once_and_says_so(
    render: Render, three: Path, policy: str
) -> None:
    done = render(three, kind="thumbnail", count=7, policy=policy)

    assert [file.name for file in done.files] == [
        f"thumbnail-00{place}.jpg" for place in (1, 2, 3)
    ]
    times = [file.time for file in done.files]
    assert times == pytest.approx([0.0, 0.1, 0.2], abs=0.001)
    assert "fewer_frames" in done.warnings


def test_times_of_one_frame_have_a_file_each(render: Render, film: Path) -> None:
    done = render(film, kind="thumbnail", times=[1.0, 1.01])

    assert len(done.files) == 2
    assert done.warnings == []


@pytest.mark.parametrize("policy", ["keyframe", "auto"])
def test_times_that_lead_to_one_frame_are_warned_about(
    render: Render, make: Callable[..., Path], policy: str
) -> None:
    still = make("one_second.mp4", "testsrc2=s=160x90:r=1:d=1", "-c:v", "libx264")

    done = render(still, kind="thumbnail", times=[0.1, 0.3], policy=policy)

    assert [file.time for file in done.files] == [0.0, 0.0]
    assert done.warnings == ["fewer_frames"]


def test_a_storyboard_of_more_tiles_than_frames_says_so(
    render: Render, three: Path
) -> None:
    done = render(three, kind="storyboard", count=7)

    assert "fewer_frames" in done.warnings
