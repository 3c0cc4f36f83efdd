"""Which scenes several stills show."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from common.outputs.specs import OUTPUT_SPEC
from worker.media.recipes.best_frame import scenes

_CODEC = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p")


@pytest.mark.parametrize(
    ("cuts", "times", "chosen"),
    [
        ([3, 6, 9], [1.5, 4.5, 7.5, 10.5], [3, 6, 9]),
        ([1, 2, 3, 4, 5, 6], [1.5, 4.5], [1, 4]),
        ([1, 1.1, 1.2, 9], [2.5, 7.5], [1.2, 9]),
        ([1, 2, 3], [8, 9], [2, 3]),
        ([], [1, 2], []),
    ],
)
def test_given_cuts_when_they_are_spread_then_each_is_taken_once(cuts, times, chosen):
    assert scenes.nearest(cuts, times) == chosen


@pytest.mark.parametrize(
    ("cuts", "count", "times"),
    [
        ([3, 6, 9], 4, [1.5, 3, 6, 9]),
        ([3], 4, [1.5, 3, 5.25, 7.5]),
        ([0.1, 6], 3, [0.1, 6, 9]),
        ([2, 4], 2, [2, 4]),
    ],
)
def test_given_few_cuts_when_filled_then_the_opening_and_the_gaps_are_shown(
    cuts, count, times
):
    assert scenes.filled(cuts, count, 0.0, 12.0) == pytest.approx(times)


@pytest.fixture
def four_scenes(make):
    """Four scenes of three seconds, each of a colour with something moving."""
    parts = [
        f"color={colour}:s=96x54:r=10:d=3[c{k}];testsrc2=s=24x14:r=10:d=3[t{k}];"
        f"[c{k}][t{k}]overlay={8 * k}:{4 * k}[v{k}]"
        for k, colour in enumerate(("red", "green", "blue", "white"))
    ]
    graph = ";".join([*parts, "[v0][v1][v2][v3]concat=n=4"])
    return make("four_scenes.mp4", graph, *_CODEC)


def test_given_three_cuts_when_four_scenes_are_asked_then_all_are_shown(
    render, four_scenes
):
    done = render(four_scenes, kind="thumbnail", count=4, policy="scene")

    times = [file.time for file in done.files]
    assert times == pytest.approx([1.5, 3, 6, 9], abs=0.11)
    assert done.warnings == ["no_scene_change"]


def test_given_two_times_before_one_cut_when_asked_then_two_pictures_come(
    render, four_scenes
):
    done = render(four_scenes, kind="thumbnail", times=[7, 8], policy="scene")

    assert [file.time for file in done.files] == pytest.approx([7, 9], abs=0.11)
    assert done.warnings == ["no_scene_change"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"times": [3, "0:03"], "policy": "auto"}, "'0:03' twice"),
        ({"times": ["5%", "5%"], "policy": "scene"}, "name each time once"),
        ({"time": "100%", "policy": "scene"}, "none begins after 100%"),
    ],
)
def test_given_times_that_make_no_sense_when_checked_then_it_says_what_would(
    words, says
):
    with pytest.raises(ValidationError, match=says):
        OUTPUT_SPEC.validate_python({"kind": "thumbnail"} | words)


@pytest.mark.parametrize("words", [{"time": 1}, {"times": [1, 12]}, {"count": 7}])
def test_given_black_at_the_times_when_auto_is_asked_then_something_is_shown(
    render, make, words
):
    # Given black for a second of each two
    black = "drawbox=0:0:iw:ih:black:fill:enable='lt(mod(t,2),1.2)'"
    film = make("blinking.mp4", f"testsrc2=s=96x54:r=10:d=14,{black}", *_CODEC)

    done = render(film, kind="thumbnail", policy="auto", **words)

    assert [report.rung for report in done.reports] == ["auto"]
    times = [file.time for file in done.files]
    assert len(set(times)) == len(times) == words.get("count", len(done.files))
    assert all(time % 2 >= 1.1 for time in times)
