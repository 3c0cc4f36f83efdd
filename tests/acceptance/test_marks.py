"""Marks survive what the service does to frames, and nothing else is taken for one."""

from __future__ import annotations

import io
import random
from itertools import islice

import av
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from tests.acceptance import marks
from tests.conftest import ROOT

SIZE = (320, 180)
NUMBERS = [0, 1, 5, 4095, 4096, 74565, 270_000, (1 << 20) - 1]


def stored(picture, kind, **options):
    """Return the picture as a file of that format shows it."""
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return Image.open(data)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("size", [SIZE, (160, 96), (160, 90), (321, 181), (90, 160)])
def test_a_frame_shows_its_number_and_its_corners(number, size):
    reading = marks.read(marks.draw(number, size, hue=number % 100))

    assert reading.number == number
    assert reading.margin > 0.95
    assert reading.upright
    assert reading.corner_error < 10


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 30}),
        ("WEBP", {"quality": 30}),
        ("AVIF", {"quality": 30}),
        ("PNG", {}),
        ("GIF", {}),
    ],
)
def test_a_lossy_file_keeps_it(kind, options):
    for number in NUMBERS:
        reading = marks.read(stored(marks.draw(number, (160, 90)), kind, **options))

        assert reading.number == number
        assert reading.upright


def test_a_palette_of_eight_colours_with_dither_keeps_it():
    reading = marks.read(marks.draw(74565, SIZE).quantize(8).convert("RGB"))

    assert reading.number == 74565


@pytest.mark.parametrize("size", [(96, 54), (160, 90), (240, 136), (1280, 720)])
def test_a_scaled_picture_keeps_it(size):
    picture = marks.draw(74565, SIZE).resize(size, Image.Resampling.BICUBIC)

    assert marks.read(picture).number == 74565


def test_a_square_that_covers_shows_the_number_and_no_corner():
    place = marks.covered((120, 120), SIZE)
    scale = 120 / SIZE[1]
    wide = marks.draw(74565, SIZE).resize((round(SIZE[0] * scale), 120))
    left = (wide.width - 120) // 2

    reading = marks.read(wide.crop((left, 0, left + 120, 120)), place=place)

    assert reading.number == 74565
    assert reading.corners == {}


def test_a_padded_picture_is_read_in_its_place():
    place = marks.contained((200, 200), SIZE)
    padded = Image.new("RGB", (200, 200), "magenta")
    padded.paste(marks.draw(74565, SIZE).resize((200, 112)), (0, 44))

    reading = marks.read(padded, place=place)

    assert reading.number == 74565
    assert reading.upright


def test_a_tile_is_read_in_its_place():
    sheet = Image.new("RGB", (480, 180))
    for column, number in enumerate((7, 8, 9)):
        tile = marks.draw(number, SIZE).resize((160, 90))
        sheet.paste(tile, (160 * column, 90))

    found = [
        marks.read(sheet, place=(160 * c, 90, 160 * c + 160, 180)).number
        for c in range(3)
    ]

    assert found == [7, 8, 9]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_picture_is_known_by_its_corners(degrees):
    picture = marks.draw(74565, SIZE).rotate(-degrees, expand=True)

    assert marks.turned(picture) == degrees
    upright = picture.rotate(degrees, expand=True)
    assert marks.read(upright).number == 74565


def test_a_turned_picture_has_no_wrong_number():
    wrong = 0
    for number in range(0, 4000, 7):
        picture = marks.draw(number, SIZE)
        for turn in (Image.Transpose.ROTATE_180, Image.Transpose.FLIP_LEFT_RIGHT):
            try:
                reading = marks.read(picture.transpose(turn))
            except marks.Unreadable:
                continue
            wrong += reading.upright

    assert wrong == 0


def test_a_mirrored_picture_is_turned_by_nothing():
    mirrored = marks.draw(5, SIZE).transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    assert marks.turned(mirrored) is None


@pytest.mark.parametrize("colour", ["black", "white", "grey", "red", "#101010"])
@pytest.mark.parametrize("bits", [12, 20])
def test_a_blank_picture_is_unreadable(colour, bits):
    with pytest.raises(marks.Unreadable):
        marks.read(Image.new("RGB", SIZE, colour), bits)


def test_noise_is_hardly_ever_taken_for_a_mark():
    noise = random.Random(1)
    readable = 0
    for _ in range(200):
        small = Image.frombytes("RGB", (12, 8), noise.randbytes(288))
        try:
            reading = marks.read(small.resize(SIZE, Image.Resampling.NEAREST))
        except marks.Unreadable:
            continue
        readable += reading.upright

    assert readable == 0


def test_two_frames_that_are_blended_are_unreadable():
    blend = Image.blend(marks.draw(5, SIZE), marks.draw(6, SIZE), 0.5)

    with pytest.raises(marks.Unreadable, match="margin"):
        marks.read(blend)


def test_every_single_wrong_cell_is_noticed():
    for box in marks.COMPACT.boxes():
        picture = marks.draw(74565, SIZE)
        left, top, right, bottom = (
            round(share * SIZE[axis % 2]) for axis, share in enumerate(box)
        )
        cell = picture.crop((left, top, right, bottom))
        picture.paste(cell.point(lambda level: 251 - level), (left, top))

        with pytest.raises(marks.Unreadable, match="check"):
            marks.read(picture)


def test_a_crop_through_the_cells_is_unreadable():
    picture = marks.draw(74565, SIZE).crop((100, 0, 320, 180))

    with pytest.raises(marks.Unreadable, match="outside"):
        marks.read(picture, place=(-100, 0, 220, 180))


def test_a_dim_or_blurred_frame_keeps_its_number():
    picture = marks.draw(74565, SIZE)
    dim = ImageEnhance.Brightness(picture).enhance(0.5)
    blurred = picture.filter(ImageFilter.GaussianBlur(4))

    assert marks.read(dim).number == 74565
    assert marks.read(blurred).number == 74565


def test_too_dark_a_frame_is_unreadable():
    dark = ImageEnhance.Brightness(marks.draw(74565, SIZE)).enhance(0.2)

    with pytest.raises(marks.Unreadable, match="levels"):
        marks.read(dark)


def test_the_grid_of_twelve_bits_is_that_of_the_stored_cases():
    with av.open(str(ROOT / "tests/cases/disc_reset.ts")) as film:
        frame = next(islice(film.decode(video=0), 77, None)).to_image()

    reading = marks.read(frame, bits=12)

    assert reading.number == 77
    assert reading.upright
    assert reading.margin > 0.8


def test_a_number_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="20 bits"):
        marks.draw(1 << 20, SIZE)
