"""A storyboard's tiles are in their places where frames lie before the start."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.acceptance.faults.timeline import BOARD, STILLS, Numbered, stills, tiles
from tests.conftest import CASES

RADL = Numbered(
    CASES / "hevc_radl_longgop_default_interval.mkv", Fraction(5), -0.4, 248
)
PULLDOWN = Numbered(
    CASES / "mpeg2_ps_start_after_first_frame.mpg", Fraction(24000, 1001), -0.05
)


@pytest.mark.parametrize(
    ("film", "interval", "count"), [(RADL, 10.0, 7), (RADL, 3.0, 24), (PULLDOWN, 1, 7)]
)
def test_each_tile_shows_the_frame_of_its_time(service, film, interval, count):
    board = {**BOARD, "interval": interval}
    stills_at = {**STILLS, "times": [0, 4.0]}

    job = service.submit(film.path, [board, stills_at])

    index, shown = tiles(service, job, film)
    assert len(shown) == sum(one["tiles"] for one in index["sheets"]) == count
    assert min(one.time for one in shown) >= 0
    for place, one in enumerate(shown):
        assert film.off(one.time, one.number) < 1
        # A keyframe stands for its interval.
        assert 0 <= one.time - place * interval < 0.51
    for one in stills(service, job, film, "thumbnail"):
        assert film.off(one.time, one.number) < 1
    assert index["duration"] == pytest.approx(job["media"]["duration"], abs=0.001)
