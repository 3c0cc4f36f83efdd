"""The span of an animation: from 10 % in, moved or shortened to fit."""

from __future__ import annotations

import pytest

from common.errors import SeekPastEnd
from common.model import MediaInfo, VideoInfo
from common.outputs.specs import AnimationSpec
from worker.media.ffmpeg.clip import Clip
from worker.media.recipes.animation import requested_span


def _clip(duration, begin=0.0, frames=None):
    video = VideoInfo(
        index=0,
        codec="h264",
        coded_width=64,
        coded_height=64,
        width=64,
        height=64,
        fps=25.0,
        frames=frames,
        start_time=begin,
        duration=None if duration is None else duration - begin,
    )
    return Clip("source", MediaInfo(container="mov", duration=duration, video=video))


def _window(clip, **words):
    found = requested_span(AnimationSpec(kind="animation", **words), clip)
    return pytest.approx((found.start, found.length)), found.warnings


@pytest.mark.parametrize(
    ("duration", "words", "span", "warnings"),
    [
        (60.0, {}, (6.0, 5.0), ()),
        (5.2, {}, (0.2, 5.0), ()),
        (2.0, {}, (0.0, 2.0), ()),
        (None, {}, (0.0, 5.0), ()),
        (60.0, {"start": 58.0}, (55.0, 5.0), ("start_moved",)),
        (60.0, {"start": "99%"}, (55.0, 5.0), ()),
        (60.0, {"start": 99.0}, (55.0, 5.0), ("time_past_end",)),
        (60.0, {"start": 1.0, "end": 3.5}, (1.0, 2.5), ()),
        (60.0, {"start": "10%", "end": "15%"}, (6.0, 3.0), ()),
        (60.0, {"start": "0%", "end": "100%"}, (0.0, 30.0), ()),
        (2.0, {"duration": 4.0}, (0.0, 2.0), ("shorter_than_asked",)),
        (6.0, {"start": 4.0, "end": 30.0}, (4.0, 2.0), ("shorter_than_asked",)),
        (6.0, {"start": 9.0, "end": 11.0}, (4.0, 2.0), ("time_past_end",)),
    ],
)
def test_given_a_length_when_the_window_is_laid_then_it_fits(
    duration, words, span, warnings
):
    found, notes = _window(_clip(duration), **words)

    assert (found, notes) == (span, warnings)


def test_given_a_late_video_when_the_window_is_laid_then_it_lies_within_it():
    found, _ = _window(_clip(15.0, begin=10.0))

    assert found == (10.0, 5.0)


def test_given_one_frame_when_the_window_is_laid_then_it_is_said():
    _, notes = _window(_clip(0.04, frames=1))

    assert notes == ("single_frame",)


def test_given_an_end_before_the_start_when_laid_then_it_is_an_error():
    with pytest.raises(SeekPastEnd, match="does not come after"):
        _window(_clip(10.0), start="90%", end=2.0)
