from __future__ import annotations

import pytest

from tests.worker.media.recipes.frames import (
    card,
    flat,
    halves,
    mix,
    noise,
    sample,
    scene,
    soft,
)
from worker.media.recipes.best_frame.sample import SAMPLE_BYTES
from worker.media.recipes.best_frame.score import is_poor, rank
from worker.media.recipes.best_frame.transition import calmness


def _best(samples):
    return rank(samples, samples[-1].time + 0.2)[0].sample.time


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
    assert is_poor(rank(black, 1.0)[0].score)
    assert not is_poor(rank(film, 1.0)[0].score)


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


def test_a_sharp_frame_beats_a_blurred_one_of_the_same_scene():
    # Given a blur that is narrower than the points lie apart / Then the sharp wins
    frames = [
        sample(0.2 * k, soft(scene(), 0.012) if k < 3 else scene()) for k in range(6)
    ]
    assert _best(frames) >= 0.6
    assert frames[0].focus.sharp < 0.3 * frames[-1].focus.sharp


def test_a_frame_of_a_scene_beats_a_card():
    # Given letters on an even ground, and then a scene / Then the scene wins
    frames = [sample(0.2 * k, card() if k < 3 else scene()) for k in range(6)]
    assert _best(frames) >= 0.6


def test_a_slow_dissolve_is_told_from_one_frame_of_it_each_few_seconds():
    # Given windows of a frame each: a scene, half of it and another, that other
    other = scene(0.31, gain=0.6)
    looks = [scene(), scene(), mix(scene(), other, 0.5), other, other]
    calm = calmness([sample(3.0 * k, look, window=k) for k, look in enumerate(looks)])
    assert calm[2] < 0.5 < min(calm[:2] + calm[3:])


def test_a_scene_whose_light_flickers_is_calm():
    looks = [scene(gain=gain) for gain in (1.0, 0.7, 0.85, 0.6, 0.9)]
    calm = calmness([sample(3.0 * k, look, window=k) for k, look in enumerate(looks)])
    assert min(calm) > 0.8


def test_blocks_of_strange_colours_cost():
    strange = sample(0.0, scene(), specks=40)
    frames = [strange, sample(0.2, scene(gain=0.9))]
    assert _best(frames) == 0.2
