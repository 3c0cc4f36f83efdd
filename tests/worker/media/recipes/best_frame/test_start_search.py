"""The start of an animation whose usual span is poor."""

from __future__ import annotations

import pytest

from common.model import MediaInfo, VideoInfo
from tests.worker.media.recipes.frames import flat, sample, scene
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done
from worker.media.recipes.best_frame import start_search
from worker.media.recipes.best_frame.content import Content

BLACK, FROZEN = Content(black=1.0), Content(frozen=True)


def _clip(seconds, warnings=()):
    video = VideoInfo(
        index=0,
        codec="h264",
        coded_width=640,
        coded_height=360,
        width=640,
        height=360,
        fps=25,
    )
    media = MediaInfo(
        container="mov", duration=seconds, video=video, warnings=list(warnings)
    )
    return Clip("in.mp4", media)


def _find(clip, samples, instead_of, length=5.0):
    """Return the starts found, and how many runs that took."""
    log = "".join(f"frame:0 pts_time:{s.time}\nwindow={s.window}\n" for s in samples)
    done = Done(0, b"".join(s.data for s in samples), log, {})
    run, steps = start_search.find(clip, length, instead_of), 0
    try:
        next(run)
        while True:
            steps += 1
            run.send(done)
    except StopIteration as stop:
        return stop.value, steps


def _black_then_film(count, dark):
    return [
        sample(k, flat(0), tint=128) if k < dark else sample(k, scene(0.05 * k))
        for k in range(count)
    ]


def test_given_a_black_begin_when_sought_then_the_start_lies_behind_it():
    starts, _ = _find(_clip(20.0), _black_then_film(20, dark=8), BLACK)

    assert all(8 <= start <= 15 for start in starts)
    assert len(starts) == 2
    assert abs(starts[0] - starts[1]) > 2.5


def test_given_a_film_that_is_black_all_through_when_sought_then_there_is_none():
    starts, steps = _find(_clip(20.0), _black_then_film(20, dark=20), BLACK)

    assert starts == []
    assert steps <= 3


def test_given_slides_when_the_usual_stretch_is_still_then_a_change_is_shown():
    # Given a slide until 12 s, and another
    slides = [sample(k, scene(0.0 if k < 12 else 0.4)) for k in range(20)]

    starts, _ = _find(_clip(20.0), slides, FROZEN)

    assert starts
    assert all(start < 12 < start + 5 for start in starts)


def test_given_one_picture_all_through_when_sought_then_there_is_none():
    starts, _ = _find(_clip(20.0), [sample(k, scene()) for k in range(20)], FROZEN)

    assert starts == []


@pytest.mark.parametrize("clip", [_clip(5.0), _clip(3600.0, ["seek_unreliable"])])
def test_given_no_other_stretch_within_reach_when_sought_then_nothing_runs(clip):
    assert _find(clip, [], BLACK) == ([], 0)


def test_given_a_length_that_is_unknown_when_sought_then_it_stays_within_the_seen():
    starts, _ = _find(_clip(None), _black_then_film(20, dark=8), BLACK)

    assert starts
    assert all(8 <= start <= 14 for start in starts)
