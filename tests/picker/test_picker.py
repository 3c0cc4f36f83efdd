"""A part of the evaluation that is quick enough for every run; see README.md."""

from __future__ import annotations

import pytest

from tests.picker import evaluate
from tests.picker.recipes import held_out, recipes

# Of every kind one; the second half is held out from tuning, as is the second set.
NAMES = (
    "fade-in",
    "torn-middle",
    "noise-start",
    "credits-end",
    "film-mpeg4",
    "black-both-ends",
    "dissolves",
    "whip-pan",
    "title-middle",
    "film-long-gop",
)
SECOND = ("black-80", "mpeg2-whips", "broken-mpeg4", "tiny")
MOST_STILLS = 3.0


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("picker")
    first = evaluate.evaluate(folder, None, list(NAMES))
    return first + evaluate.evaluate(folder, None, list(SECOND), "second")


def test_every_clip_of_the_part_was_judged(results):
    assert {r.recipe.name for r in results} == {*NAMES, *SECOND}


def test_auto_takes_a_good_frame(results):
    misses = {r.recipe.name: r.times["auto"] for r in results if not r.hit("auto")}
    assert not misses


def test_auto_beats_every_simpler_way(results):
    def hits(way):
        return sum(r.hit(way) for r in results)

    assert all(hits("auto") > hits(way) for way in evaluate.WAYS)


def test_auto_costs_at_most_three_stills(results):
    auto, still = (
        sum(getattr(r, part) for r in results) for part in ("auto_cpu", "still_cpu")
    )
    assert auto <= MOST_STILLS * still


def test_noise_is_not_decoded_where_the_still_shows_none(results):
    (noise,) = (r for r in results if r.recipe.name == "noise-start")
    assert noise.auto_cpu <= 2 * MOST_STILLS * noise.still_cpu


def test_auto_looks_at_a_bounded_number_of_frames(results):
    assert all(r.pick.considered <= 80 for r in results)


def test_the_set_is_large_and_a_third_is_held_out(tmp_path):
    whole = recipes(tmp_path)
    background = [place for place in range(len(whole)) if held_out(place)]
    assert len(whole) >= 40
    assert len(background) >= len(whole) // 3
    assert len({recipe.name for recipe in whole}) == len(whole)
