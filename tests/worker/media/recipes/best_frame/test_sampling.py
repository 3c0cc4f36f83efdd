from __future__ import annotations

import pytest

from common.model import MediaInfo, VideoInfo
from tests.picker.evaluate import run
from tests.worker.media.recipes.frames import flat, sample
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done
from worker.media.recipes.best_frame import sampling
from worker.media.source_file import LocalFile


def _clip(seconds, gap, *, side=(1280, 720), container="mov,mp4,m4a", **facts):
    video = VideoInfo(
        index=0,
        codec="h264",
        coded_width=side[0],
        coded_height=side[1],
        width=side[0],
        height=side[1],
        fps=25,
        keyframe_interval=gap,
        **facts,
    )
    return Clip("in.mp4", MediaInfo(container=container, duration=seconds, video=video))


def _filter(words):
    return words[words.index("-bsf:v") + 1] if "-bsf:v" in words else None


def test_of_short_groups_only_the_heads_reach_the_decoder():
    words = sampling.first_run(_clip(20.0, 1.0)).step.argv
    assert words.count("-i") == 1
    assert _filter(words).startswith("noise=drop=")


def test_a_short_clip_of_one_group_is_decoded_whole():
    words = sampling.first_run(_clip(8.0, 8.0, side=(640, 360))).step.argv
    assert _filter(words) is None


def test_packets_without_times_are_not_dropped():
    words = sampling.first_run(_clip(20.0, 1.0, bitstream_pts=False)).step.argv
    assert _filter(words) is None


def test_where_all_are_keyframes_not_all_are_decoded():
    assert "mod(ld(0)-1,2)" in _filter(sampling.first_run(_clip(20.0, 0.04)).step.argv)
    assert "mod(ld(0)-1" not in _filter(sampling.first_run(_clip(20.0, 0.5)).step.argv)


@pytest.mark.parametrize("gap", [0.5, 2.0, 10.0])
def test_a_long_film_is_opened_a_few_times_whatever_its_groups(gap):
    hour, day = (sampling.first_run(_clip(3600.0 * hours, gap)) for hours in (1, 24))
    assert 3 <= len(hour.starts) <= 5
    assert len(day.starts) <= len(hour.starts)


def test_windows_keep_no_rhythm():
    # Given a film in which every 24 seconds are alike
    starts = sampling.first_run(
        _clip(3600.0, 2.0, side=(640, 360), container="matroska")
    ).starts
    places = [start % 24 for start in starts]
    # Then the windows lie at other places of it
    assert max(places) - min(places) > 3


def test_more_windows_of_8k_stay_within_the_memory():
    large = _clip(3600.0, 2.0, side=(7680, 4320))
    assert len(sampling.visit(large, times=3).starts) == 2


def _seconds_seen(part, folder):
    seen = run(["-y", *part.step.argv], folder)
    found = part.samples(Done(0, seen.out, seen.log, {}), 0)
    return {int(one.time) for one in found}


def test_a_scan_between_sees_groups_that_the_first_left_out(make, engine):
    words = ("-g", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p")
    film = make("groups.mp4", "testsrc2=s=320x180:r=25:d=40", *words)
    clip = Clip(film.name, engine.probe(LocalFile(film)))

    first = _seconds_seen(sampling.scan(clip), film.parent)
    between = _seconds_seen(sampling.scan_between(clip), film.parent)

    assert len(between) >= 4
    assert not first & between
    assert max(first) - min(first) > 25 < max(between) - min(between)


def test_nothing_lies_between_where_all_was_read():
    assert sampling.scan_between(_clip(8.0, 8.0, side=(640, 360))) is None


def test_frames_far_apart_are_not_of_one_window():
    # Given the answer to a scan: two heads of groups, three seconds apart
    scan = sampling.first_run(_clip(20.0, 1.0))
    times = [0.0, 0.16, 0.32, 3.0, 3.16]
    log = "".join(f"frame:0 pts_time:{time}\nwindow=0\n" for time in times)
    data = b"".join(sample(time, flat(9)).data for time in times)
    found = scan.samples(Done(0, data, log, {}), 7)
    # Then they are two windows, numbered on
    assert [one.window for one in found] == [7, 7, 7, 8, 8]
    assert [one.sought for one in found] == [None] * 5


def test_a_window_remembers_its_seek():
    visit = sampling.first_run(_clip(3600.0, 2.0))
    begin = visit.starts[1] - 1.5
    log = f"frame:0 pts_time:{begin}\nwindow=1\n"
    found = visit.samples(Done(0, sample(0, flat(9)).data, log, {}), 0)
    assert found[0].sought == visit.starts[1]
    assert found[0].time == pytest.approx(begin)
