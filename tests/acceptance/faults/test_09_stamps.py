"""A contact sheet's stamps tell the frames that it shows, in coarse clocks, too."""

from __future__ import annotations

import pytest

from tests.acceptance.faults.timeline import (
    BOARD,
    STILLS,
    cells,
    of_catalogue,
    sheet,
    stills,
    tiles,
)

FILMS = ["mpeg2-mxf", "h264-avi", "mpeg4-avi", "mpeg2-vob"]


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize(("columns", "rows"), [(3, 2), (4, 4)])
def test_each_place_shows_a_frame_of_its_own_at_the_stated_time(
    service, name, columns, rows
):
    film = of_catalogue(name)

    job = service.submit(film.path, [sheet(columns, rows)])

    shown = cells(service, job, film)
    assert len({one.number for one in shown}) == columns * rows
    assert [one for one in shown if film.off(one.time, one.number) > 0.6] == []


@pytest.mark.parametrize("name", FILMS)
def test_keyframes_and_tiles_are_those_of_their_times(service, name):
    film = of_catalogue(name)
    requested = [1.5, 3.0, 6.5]
    still = {**STILLS, "policy": "keyframe", "times": requested}

    job = service.submit(film.path, [still, {**BOARD, "interval": 2}])

    shown = stills(service, job, film, "thumbnail")
    shown += tiles(service, job, film)[1]
    assert [one for one in shown if film.off(one.time, one.number) > 0.6] == []
