"""The search under max_bytes: six trials at most, the highest step that fits."""

from __future__ import annotations

import pytest

from common.errors import CannotFit
from worker.media.recipes import search


def _hunt(sizes, limit):
    """Drive the search over known sizes; give the steps that were tried."""
    hunt = search.search(len(sizes), limit)
    tried = [next(hunt)]
    try:
        while True:
            tried.append(hunt.send(sizes[tried[-1]]))
    except StopIteration:
        return tried


SIZES = [round(1_000_000 * 0.8**step) for step in range(22)]


def test_given_the_asked_settings_fit_when_searched_then_one_trial_is_enough():
    assert _hunt(SIZES, 1_000_000) == [0]


@pytest.mark.parametrize("factor", [0.9, 0.77, 0.63, 0.45, 0.3, 0.2])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.05, 0.0101])
def test_given_any_slope_when_searched_then_a_fit_is_found_in_six(factor, share):
    sizes = [max(50, round(1_000_000 * factor**step)) for step in range(22)]
    limit = max(sizes[-1], round(1_000_000 * share))

    tried = _hunt(sizes, limit)

    assert len(tried) <= search.TRIALS
    assert len(set(tried)) == len(tried)
    assert min(sizes[step] for step in tried) <= limit


def test_given_sizes_as_expected_when_searched_then_the_best_step_is_found():
    tried = _hunt(SIZES, 300_000)

    fits = [step for step in tried if SIZES[step] <= 300_000]
    assert min(fits) == next(s for s, size in enumerate(SIZES) if size <= 300_000)


def test_given_nothing_fits_when_searched_then_the_error_tells_the_smallest():
    with pytest.raises(CannotFit, match=str(SIZES[-1])):
        _hunt(SIZES, 100)


@pytest.mark.parametrize("kind", ["gif", "webp", "mp4"])
def test_given_a_ladder_when_it_is_built_then_it_begins_with_what_was_asked(kind):
    steps = search.ladder(kind, 200, 60)

    first = steps[0]
    assert (first.fps, first.size, first.quality) == (1.0, 1.0, 60)
    assert first.colors == 200
    assert all(2 <= step.colors <= 200 for step in steps)
