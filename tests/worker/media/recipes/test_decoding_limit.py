"""The limit of a video's length depends on which outputs decode all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.errors import TooLong
from common.model import MediaInfo, VideoInfo
from common.outputs.specs import SnippetsSpec, StoryboardSpec
from common.settings.load import Settings
from worker.media.engine import Engine
from worker.media.ffmpeg.clip import Clip, decoding_seconds
from worker.media.recipes import snippets
from worker.media.recipes.storyboard import recipe

HOURS = 3600.0


def _media(hours, fps, frames=None):
    video = VideoInfo(
        index=0,
        codec="h264",
        coded_width=64,
        coded_height=48,
        width=64,
        height=48,
        fps=fps,
        frames=frames,
    )
    return MediaInfo(container="mov,mp4", duration=hours * HOURS, video=video)


@pytest.mark.parametrize(
    ("hours", "fps", "frames", "counted"),
    [(6, 30.0, None, 6), (6, 60.0, None, 6), (10, 1.0, None, 1 / 3), (10, None, 30, 0)],
)
def test_given_few_frames_when_decoding_is_weighed_then_it_is_short(
    hours, fps, frames, counted
):
    seconds = decoding_seconds(_media(hours, fps, frames))

    assert seconds == pytest.approx(counted * HOURS, abs=2)


def test_given_seven_hours_when_snippets_are_asked_then_one_error_says_so():
    media, spec = _media(8, 25.0), SnippetsSpec(kind="snippets")

    assert Engine(Settings()).split(spec, media) == []
    with pytest.raises(TooLong, match=r"snippets .* 24000 seconds"):
        snippets.plan(spec, Clip("source", media, decoded_seconds=5 * HOURS))


def test_given_a_long_film_when_no_keyframe_can_be_used_then_a_storyboard_is_refused():
    clip = Clip("source", _media(7, 30.0), decoded_seconds=6 * HOURS)
    plan = recipe.plan(StoryboardSpec(kind="storyboard"), clip)
    decode = next(
        alternative for alternative in plan.alternatives if alternative.name == "decode"
    )

    with pytest.raises(TooLong, match="storyboards"):
        next(decode.run())

    within = replace(clip, decoded_seconds=8 * HOURS)
    plan = recipe.plan(StoryboardSpec(kind="storyboard"), within)
    assert next(next(r for r in plan.alternatives if r.name == "decode").run()).argv
