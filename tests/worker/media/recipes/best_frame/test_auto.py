from __future__ import annotations

import pytest

from common.errors import DecodeError
from common.model import MediaInfo, VideoInfo
from common.outputs.specs import ThumbnailSpec
from tests.worker.media.recipes.frames import flat, sample, scene
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done
from worker.media.recipes import thumbnail
from worker.media.recipes.best_frame import auto


def _clip(seconds, *, side=(640, 360), frames=None, container="mov,mp4,m4a"):
    video = VideoInfo(
        index=0,
        codec="h264",
        coded_width=side[0],
        coded_height=side[1],
        width=side[0],
        height=side[1],
        fps=25,
        frames=frames,
    )
    return Clip("in.mp4", MediaInfo(container=container, duration=seconds, video=video))


def _answer(samples):
    """Write what FFmpeg would: the pictures, and a mark for each."""
    log = "".join(f"frame:0 pts_time:{s.time}\nwindow={s.window}\n" for s in samples)
    return Done(0, b"".join(s.data for s in samples), log, {})


def _drive(clip, *answers):
    steps, run = [], auto.pick(clip)
    try:
        steps.append(next(run))
        for samples in answers:
            steps += [run.send(_answer(samples))]
    except StopIteration as stop:
        return stop.value, steps
    pytest.fail("more steps than answers")


def _seeks(step):
    return [
        float(step.argv[k + 1]) for k, word in enumerate(step.argv) if word == "-ss"
    ]


def test_a_short_clip_is_read_once_from_its_start():
    # Given ten seconds at 360p / When its frames came
    frames = [sample(0.4 * k, scene() if k > 4 else flat(0)) for k in range(20)]
    pick, steps = _drive(_clip(10.0), frames)
    # Then there was one step, which sought nothing, and the scene is chosen
    assert len(steps) == 1
    assert not _seeks(steps[0])
    assert pick.time > 1.6
    assert pick.considered == 20


def test_a_long_film_is_opened_at_a_few_times_in_one_process():
    # Given a film of one hour, and of ten
    def windows(film):
        return [
            sample(start + 0.1 * k, scene(), window=w)
            for w, start in enumerate(film)
            for k in range(3)
        ]

    starts = []
    for hours in (1, 10):
        run = auto.pick(_clip(3600.0 * hours, side=(1920, 1080)))
        starts.append(_seeks(next(run)))
        with pytest.raises(StopIteration):
            run.send(_answer(windows(starts[-1])))
    # Then the work is the same, spread over the whole length
    assert len(starts[0]) == len(starts[1]) <= 8
    assert starts[1][-1] > 30000


def test_large_frames_open_fewer_decoders():
    small = next(auto.pick(_clip(3600.0, side=(1920, 1080))))
    large = next(auto.pick(_clip(3600.0, side=(7680, 4320))))
    assert len(_seeks(large)) < len(_seeks(small))


def test_times_are_those_of_the_frames():
    # Given a window whose frame lies before the time that was sought
    run = auto.pick(_clip(3600.0))
    start = _seeks(next(run))
    frames = [
        sample(since - 1.5, scene() if w == 2 else flat(0), window=w)
        for w, since in enumerate(start)
    ]
    with pytest.raises(StopIteration) as stop:
        run.send(_answer(frames))
    assert stop.value.value.time == pytest.approx(start[2] - 1.5)


def test_one_keyframe_in_all_leads_to_a_bounded_reading():
    # Given a film in which every seek lands on the first frame
    clip = _clip(3600.0, side=(1920, 1080))
    run = auto.pick(clip)
    starts = _seeks(next(run))
    same = [sample(0.0, flat(0), window=w) for w in range(len(starts))]
    # When that is all that came / Then it is read from the start, not to its end
    second = run.send(_answer(same))
    assert not _seeks(second)
    assert second.seconds < 60


def test_poor_windows_are_tried_twice_at_other_times():
    # Given a film that is black wherever it is looked at
    run = auto.pick(_clip(3600.0))
    looks = [_seeks(next(run))]
    for _ in range(2):
        black = [
            sample(at, flat(0), window=w, tint=128) for w, at in enumerate(looks[-1])
        ]
        looks.append(_seeks(run.send(_answer(black))))
    # Then it is looked at more often each time, and no more than three times
    assert sorted(map(len, looks)) == [len(look) for look in looks]
    assert len(set().union(*looks)) > 1.5 * len(looks[-1])
    with pytest.raises(StopIteration):
        run.send(_answer(black))


def test_no_frame_at_all_is_a_decode_error():
    with pytest.raises(DecodeError):
        _drive(_clip(10.0), [], [])


def test_a_single_frame_is_taken_without_a_look():
    pick, steps = _drive(_clip(None, frames=1))
    assert (pick.time, pick.score, steps, pick.details) == (0.0, None, [], {})


def test_runners_up_lie_elsewhere():
    frames = [sample(0.4 * k, scene(0.01 * k)) for k in range(25)]
    pick, _ = _drive(_clip(10.0), frames)
    times = [pick.time, *(time for time, _ in pick.runners_up)]
    assert len(times) == 4
    assert all(abs(a - b) >= 0.5 for a in times for b in times if a is not b)
    assert set(pick.details) == {"score", "factors", "considered", "runners_up"}


def test_pictures_without_marks_are_not_given_a_time():
    # Given a picture that came without its mark / Then it is not used
    clip = _clip(10.0)
    run = auto.pick(clip)
    next(run)
    nothing = Done(1, sample(0, scene()).data, "", {})
    run.send(nothing)
    with pytest.raises(DecodeError):
        run.send(nothing)


def test_a_picture_that_came_out_grey_is_sought_another_way():
    # Given a clip whose best frame was seen after the groups before it
    clip = _clip(10.0)
    (alternative, *_) = thumbnail.plan(
        ThumbnailSpec(kind="thumbnail"), clip
    ).alternatives
    run = alternative.run()
    next(run)
    run.send(_answer([sample(0.4 * k, scene()) for k in range(20)]))
    # When a seek leads to an even grey, twice / Then it is read from the begin
    grey = Done(0, bytes([128] * 64 * 36 * 4), "", {"thumbnail.jpg": 1})
    run.send(grey)
    last = run.send(grey)
    assert not _seeks(last)
    # and what is as rich as the sample is taken
    rich = bytes([20, 20, 20, 255, 220, 220, 220, 255] * 32 * 36)
    with pytest.raises(StopIteration) as stop:
        run.send(Done(0, rich, "frame:0 pts_time:4\n", {"thumbnail.jpg": 1}))
    assert stop.value.value[0].file == "thumbnail.jpg"
