"""What encoding costs: the rate that a task can bear, and the deadline it gets."""

from __future__ import annotations

import pytest

from common.config import Settings
from common.specs import AnimationSpec
from worker.media import program
from worker.media.recipes import animation, cost
from worker.media.recipes.picture import Box
from worker.media.recipes.source import Clip

LARGEST = Box((1280, 1280), 1280, 1280)
WIDE = Box((1280, 720), 1280, 720)
FORMATS = ["gif", "webp", "avif", "mp4", "webm"]


@pytest.mark.parametrize("kind", FORMATS)
def test_given_thirty_seconds_of_720p_then_the_rate_is_as_asked(kind):
    assert cost.rate(30.0, kind, WIDE, 30.0) == 30.0


def test_given_the_longest_largest_webm_then_its_rate_is_what_a_task_can_encode():
    rate = cost.rate(30.0, "webm", LARGEST, 120.0)

    assert 1.0 < rate < 30.0
    assert cost.seconds("webm", 1280 * 1280 * rate * 120) == pytest.approx(
        900, rel=0.01
    )


def test_given_frames_that_are_stored_then_they_fit_on_disk():
    rate = cost.rate(30.0, "mp4", LARGEST, 30.0, stored=True)

    assert 1280 * 1280 * rate * 30 == pytest.approx(cost.STORED_PIXELS, rel=0.01)


@pytest.mark.parametrize("kind", ["webp", "webm"])
def test_given_a_costly_format_then_the_deadline_follows_the_pixels(engine, film, kind):
    spec = AnimationSpec(
        kind="animation", start=0, format=kind, width=1280, enlarge=True, speed=0.25
    )
    clip = Clip("source", engine.probe(film))
    step = next(animation.plan(spec, clip).rungs[0].run())

    cap = program.bounds(Settings(), step.seconds).cap_seconds
    pixels = 1280 * 720 * 15 * 20
    assert cap >= 60 + cost.seconds(kind, pixels * 0.7)
