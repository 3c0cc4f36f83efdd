"""The content of a span: black, flat, frozen, broken, or something to see."""

from __future__ import annotations

import pytest

from tests.worker.media.recipes.frames import flat, halves, noise, sample, scene
from worker.media.recipes.best_frame import content


def _seen(*looks, tint=None):
    return [sample(0.4 * place, look, tint=tint) for place, look in enumerate(looks)]


def _film(count):
    return [scene(0.02 * place) for place in range(count)]


@pytest.mark.parametrize(
    ("seen", "warnings"),
    [
        (_seen(*_film(9)), ()),
        (_seen(*[flat(0)] * 9, tint=128), ("black",)),
        (_seen(*[flat(235)] * 9, tint=128), ("flat",)),
        (_seen(*[flat(0)] * 2, *_film(7), tint=128), ()),
        (_seen(*[flat(0)] * 4, *_film(5), tint=128), ("black",)),
        (_seen(*[scene()] * 9), ("frozen",)),
        (_seen(*[scene()] * 8, scene(0.3)), ()),
        (_seen(*[halves(flat(0), scene())] * 9), ("frozen",)),
        (_seen(scene()), ()),
        ([], ()),
    ],
)
def test_given_samples_when_read_then_the_warnings_say_what_is_wrong(seen, warnings):
    found = content.read(seen)

    assert found.warnings == warnings
    assert found.poor == bool(warnings)


def test_given_noise_when_read_then_it_is_poor_without_a_warning():
    found = content.read(_seen(*[noise(seed) for seed in range(9)]))

    assert found.poor
    assert found.broken
    assert found.warnings == ()


def test_given_the_noise_of_an_encoder_when_read_then_that_is_no_movement():
    def grain(seed):
        dice = noise(seed)
        return lambda x, y: scene()(x, y) + dice(x, y) / 64

    assert content.read(_seen(grain(1), grain(2), grain(3))).frozen


def test_given_a_dark_frame_with_a_light_in_it_when_read_then_it_is_not_black():
    lamp = sample(0, lambda x, y: 200 if (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.02 else 3)

    assert not content.is_black(lamp)
    assert not content.is_flat(lamp)


def test_given_one_even_colour_then_another_when_read_then_both_are_flat():
    assert content.is_flat(sample(0, flat(90), tint=200))
    assert not content.is_flat(sample(0, flat(90)))
