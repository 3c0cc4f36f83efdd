"""What stands out in a small picture is found, and the window that holds it."""

from __future__ import annotations

import random

import pytest

from worker.media.recipes.best_frame.saliency import LONG, SHORT, Look, focus

GREY = 128
NOISE = random.Random(7).choices(range(70, 180), k=3 * LONG * SHORT)
TALL, WHOLE = (0.316, 1.0), (1.0, 1.0)


def picture(boxes=(), size=(LONG, SHORT), ground=(90, GREY, GREY), noisy=False):
    """Return planes of one colour with boxes (left, top, width, height, colour)."""
    width, height = size
    planes = []
    for place, level in enumerate(ground):
        cells = [level] * (width * height)
        if noisy and not place:
            cells = NOISE[: width * height]
        for left, top, across, down, colour in boxes:
            for row in range(top, top + down):
                at = row * width + left
                cells[at : at + across] = [colour[place]] * across
        planes.append(bytes(cells))
    return b"".join(planes)


def shifted(data, right, size=(LONG, SHORT)):
    """Return a picture that has moved to the right; its edge is repeated."""
    width = size[0]
    rows = [data[at : at + width] for at in range(0, len(data), width)]
    return b"".join(row[:1] * right + row[: width - right] for row in rows)


@pytest.mark.parametrize("left", [0, 4, 20, 40, 56])
@pytest.mark.parametrize("colour", [(200, GREY, GREY), (90, GREY, 200)])
def test_the_window_holds_what_differs_in_light_or_colour(left, colour):
    look = Look(picture([(left, 12, 8, 12, colour)]), LONG)

    middle, _ = focus([look], TALL)

    begin, end = middle - TALL[0] / 2, middle + TALL[0] / 2
    assert begin - 0.01 <= left / LONG
    assert (left + 8) / LONG <= end + 0.01


def test_in_a_tall_picture_the_window_goes_down():
    size = (SHORT, LONG)
    look = Look(picture([(12, 50, 10, 8, (30, GREY, GREY))], size), SHORT)

    across, down = focus([look], (1.0, 0.316))

    assert across == 0.5
    assert down == pytest.approx(54 / LONG, abs=0.06)


def test_of_two_alike_the_one_that_moves_counts_more():
    still = (12, 12, 8, 12, (150, GREY, GREY))
    moving = (48, 12, 8, 12, (150, GREY, GREY))
    before = (44, 12, 8, 12, (150, GREY, GREY))
    alone = Look(picture([still, moving]), LONG)
    seen = Look(picture([still, moving]), LONG, (picture([still, before]),))

    assert focus([alone], TALL)[0] < 0.5 < focus([seen], TALL)[0]


def test_a_picture_that_moves_as_a_whole_shows_no_motion():
    data = picture([(40, 10, 8, 16, (220, GREY, GREY))], noisy=True)
    panned = Look(data, LONG, (shifted(data, 2),))

    still = Look(data, LONG)

    assert focus([panned], TALL)[0] == pytest.approx(focus([still], TALL)[0], abs=0.05)


@pytest.mark.parametrize("window", [TALL, (0.5, 0.5), WHOLE])
def test_an_even_picture_is_cut_at_its_centre(window):
    assert focus([Look(picture(), LONG)], window) == (0.5, 0.5)


def test_what_need_not_be_cut_stays_at_the_centre():
    look = Look(picture([(2, 2, 8, 8, (220, GREY, GREY))]), LONG)

    assert focus([look], WHOLE) == (0.5, 0.5)


def test_one_window_is_for_all_looks():
    left = Look(picture([(4, 12, 6, 12, (220, GREY, GREY))]), LONG)
    right = Look(picture([(54, 12, 6, 12, (220, GREY, GREY))]), LONG)

    assert focus([left, left, right], TALL)[0] < 0.25
    assert focus([left, right, right], TALL)[0] > 0.75


def test_a_frame_of_noise_has_a_window_inside():
    middle, _ = focus([Look(picture(noisy=True), LONG)], TALL)

    assert TALL[0] / 2 <= middle <= 1 - TALL[0] / 2
