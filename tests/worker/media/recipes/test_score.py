from __future__ import annotations

import pytest

from tests.worker.media.recipes.frames import flat, halves, mix, noise, sample, scene
from worker.media.recipes.sample import SAMPLE_BYTES
from worker.media.recipes.score import is_poor, judge
from worker.media.recipes.transition import calmness


def _best(samples):
    return judge(samples, samples[-1].time + 0.2)[0].sample.time


def test_a_sample_has_the_size_that_it_says():
    assert len(sample(0, flat(0)).data) == SAMPLE_BYTES


@pytest.mark.parametrize(
    "bad",
    [
        flat(0),
        flat(255),
        flat(110),
        noise(1),
        scene(gain=0.1),
        mix(scene(), flat(250), 0.95),
    ],
    ids=["black", "white", "grey", "noise", "dark", "pale"],
)
def test_a_picture_beats_what_is_none(bad):
    # Given three frames of a fault, and then three of a scene
    frames = [
        sample(0.2 * k, bad if k < 3 else scene(), tint=128 if k < 3 else None)
        for k in range(6)
    ]
    # When they are judged / Then one of the scene wins
    assert _best(frames) >= 0.6


def test_only_faults_are_called_poor():
    black = [sample(0.2 * k, flat(0), tint=128) for k in range(4)]
    film = [sample(0.2 * k, scene()) for k in range(4)]
    assert is_poor(judge(black, 1.0)[0].score)
    assert not is_poor(judge(film, 1.0)[0].score)


def test_blocks_that_never_came_are_seen():
    # Given a scene whose lower half has the decoder's colour for missing data
    lost = [sample(0.2 * k, scene(), tint=0) for k in range(3)]
    whole = [sample(0.6 + 0.2 * k, scene()) for k in range(3)]
    # Then the whole picture wins
    assert _best([*lost, *whole]) >= 0.6


def test_a_tear_that_is_not_everywhere_costs():
    # Given frames of two pictures, one above the other, among whole ones
    torn = halves(scene(), scene(0.37, gain=0.35))
    frames = [sample(0.2 * k, torn if 5 <= k < 10 else scene()) for k in range(20)]
    # Then a whole one wins
    best = _best(frames)
    assert best < 1.0 or best >= 2.0


def test_the_middle_of_a_dissolve_is_not_calm():
    # Given a scene, a slow dissolve into another, and that
    looks = [scene()] * 6
    looks += [mix(scene(), scene(0.31, gain=0.6), k / 12) for k in range(1, 12)]
    looks += [scene(0.31, gain=0.6)] * 6
    calm = calmness([sample(0.15 * k, look) for k, look in enumerate(looks)])
    # Then both scenes are calmer than what lies between
    assert min(calm[1:4]) > max(calm[9:14]) + 0.3
    assert min(calm[-4:-1]) > max(calm[9:14]) + 0.3


def test_a_flash_is_not_calm():
    looks = [scene()] * 4 + [flat(240)] + [scene()] * 4
    calm = calmness([sample(0.2 * k, look) for k, look in enumerate(looks)])
    assert calm[4] < 0.5 < calm[1]


def test_windows_are_not_compared_with_each_other():
    # Given two windows with nothing in common / Then both are calm
    frames = [sample(k, scene(), window=0) for k in range(3)]
    frames += [sample(50 + k, scene(0.3, gain=0.5), window=1) for k in range(3)]
    assert min(calmness(frames)) > 0.9
