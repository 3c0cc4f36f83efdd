"""In a transport stream with all sound first, stated times are the frames' own."""

from __future__ import annotations

import pytest

from tests.acceptance.faults.timeline import (
    AUTO,
    BOARD,
    STILLS,
    cells,
    of_catalogue,
    sheet,
    stills,
    tiles,
)


@pytest.fixture(scope="module")
def film():
    return of_catalogue("sound-stored-first-ts")


def test_every_stated_time_was_read_from_the_frame(service, film):
    requested = [1.0, 9.0, 13.0, 17.5]
    stills_at = {**STILLS, "times": requested}
    outputs = [AUTO, stills_at, sheet(4, 2), {**BOARD, "interval": 2}]

    job = service.submit(film.path, outputs)

    taken = stills(service, job, film, "thumbnail")
    found = stills(service, job, film, "auto")
    found += taken + cells(service, job, film) + tiles(service, job, film)[1]
    assert len(found) >= 1 + 4 + 8 + 10
    assert [one for one in found if film.off(one.time, one.number) > 1] == []
    for time, one in zip(requested, taken, strict=True):
        assert 0 <= time - one.time < 0.05
