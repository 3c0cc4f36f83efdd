"""The judge of crops counts what it should, by a scene that is drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.settings.load import Settings
from tests.crop import scenes
from tests.crop.judge import Judged, interval, judge, report
from worker.media.engine import Engine
from worker.media.ffmpeg import binary

SCENE = next(one for one in scenes.load() if one.name == "balloon")


def judged(**crops):
    return Judged(replace(SCENE, box=(10, 20, 30, 40)), "16:9", crops, {})


@pytest.mark.parametrize(
    ("crop", "held"),
    [
        ((10, 20, 30, 40), True),
        ((11, 20, 30, 40), True),
        ((12, 20, 30, 40), False),
        ((0, 0, 40, 58), False),
        ((0, 0, 39, 59), True),
    ],
)
def test_a_crop_holds_a_box_to_a_pixel(crop, held):
    assert judged(smart=crop).holds("smart") is held


@pytest.mark.parametrize(
    ("held", "many", "expected"),
    [(27, 31, (0.711, 0.949)), (0, 10, (0.0, 0.278)), (10, 10, (0.722, 1.0))],
)
def test_the_interval_is_wilsons(held, many, expected):
    assert interval(held, many) == pytest.approx(expected, abs=0.001)


def test_the_report_counts_each_way_and_names_what_was_missed():
    inside, beside = (10, 20, 30, 40), (0, 0, 20, 20)
    text = report(
        [judged(center=beside, smart=inside), judged(center=beside, smart=beside)]
    )

    assert "all   n  2  center  0 =   0 %" in text
    assert "smart  1 =  50 %" in text
    assert text.count("smart missed balloon 16:9") == 1


def test_a_drawn_scene_is_judged_by_real_stills(tmp_path):
    film = scenes.video(SCENE, tmp_path, binary.path(Settings()))

    one = judge(SCENE, "16:9", film, Engine(Settings()), cost=False)

    assert one.holds("smart")
    assert not one.holds("center")
    assert one.shown["center"][2:] == one.shown["smart"][2:]
    assert min(one.cpu.values()) > 0
