"""The search under max_bytes: six trials at most, close below the limit."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from common.errors import CannotFit
from worker.media.recipes.size_limit import search

FULL = 1_000_000


def _search(size, limit):
    """Run the search with a size for each place; return the places and sizes."""
    places = search.search(limit)
    place = next(places)
    tried = {}
    try:
        while True:
            tried[place] = size(place)
            place = places.send(tried[place])
    except StopIteration:
        return tried


def _slope(factor, wobble=0.0):
    """Sizes that fall by a factor a step, more or less."""

    def size(place):
        bend = 1 + wobble * math.sin(5 * place)
        return max(50, round(FULL * factor**place * bend))

    return size


def test_given_the_asked_settings_fit_when_searched_then_one_trial_is_enough():
    assert list(_search(_slope(0.8), FULL)) == [0]


@pytest.mark.parametrize("wobble", [0.0, 0.08])
@pytest.mark.parametrize("factor", [0.9, 0.77, 0.63, 0.45, 0.3])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.16])
def test_given_any_slope_when_searched_then_a_close_fit_is_found_in_six(
    factor, wobble, share
):
    tried = _search(_slope(factor, wobble), round(FULL * share))

    fits = [size for size in tried.values() if size <= FULL * share]
    assert len(tried) <= search.TRIALS
    assert max(fits) >= 0.84 * FULL * share


def test_given_sizes_that_rise_before_they_fall_when_searched_then_it_comes_close():
    # A GIF of few colours, which cost more when it is scaled.
    def size(place):
        return round(81_000 * (1 + 0.9 * place) * 0.62**place)

    tried = _search(size, 48_000)

    assert max(size for size in tried.values() if size <= 48_000) >= 0.85 * 48_000


@pytest.mark.parametrize("factor", [0.99, 0.9, 0.8, 0.5, 0.2])
def test_given_only_the_smallest_fits_when_searched_then_it_is_found(factor):
    size = _slope(factor)

    tried = _search(size, size(search.LAST))

    assert min(tried.values()) == size(search.LAST)


def test_given_nothing_fits_when_searched_then_the_error_tells_the_smallest():
    size = _slope(0.8)

    with pytest.raises(CannotFit, match=str(size(search.LAST))):
        _search(size, 100)


@pytest.mark.parametrize("kind", ["gif", "webp", "avif", "mp4", "webm"])
def test_given_a_ladder_when_it_is_read_then_it_begins_with_what_was_asked(kind):
    first = search.ladder_step(kind, 0, 200, 60)

    assert first == search.LadderStep(1.0, 1.0, 200, 60, dithered=True)


@pytest.mark.parametrize("kind", ["gif", "webp", "avif", "mp4", "webm"])
def test_given_a_ladder_when_one_goes_down_then_nothing_grows(kind):
    places = [search.LAST * share / 200 for share in range(201)]
    steps = [search.ladder_step(kind, place, 200, 60) for place in places]

    for above, below in pairwise(steps):
        assert below.fps <= above.fps
        assert below.size <= above.size
        assert 2 <= below.colors <= above.colors
        assert 1 <= below.quality <= above.quality
