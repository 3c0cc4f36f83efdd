from __future__ import annotations

import base64
import io
import random

import pytest
from PIL import Image, ImageChops, ImageStat

from worker.media.recipes.shared import placeholder


def _ramps(width: int, height: int, *, has_alpha: bool = False) -> bytes:
    return bytes(
        value
        for y in range(height)
        for x in range(width)
        for value in (
            x * 255 // (width - 1),
            y * 255 // (height - 1),
            x * y * 7 % 256,
            255 * (x + y) // (width + height - 2) if has_alpha else 255,
        )
    )


# Made once with the `thumbhash` package 0.1.2 of PyPI (MIT).
@pytest.mark.parametrize(
    ("width", "height", "known"),
    [
        (32, 18, "5ff80d2c9c707677707777768776a0910bf888"),
        (18, 32, "5f080e2c1c600677777776787777b1900af778"),
    ],
)
def test_a_hash_equals_the_reference_encoders(width, height, known):
    # Given an opaque picture / When it is encoded
    made = placeholder.thumbhash(_ramps(width, height), width, height)
    # Then every byte is the one that another encoder makes
    assert made.hex() == known


# Made once with the `blurhash` package 1.1.5 of PyPI (MIT).
@pytest.mark.parametrize(
    ("width", "height", "known"),
    [
        (32, 18, "L$Hezc2owuX4qNWBjraegGfhfPfk"),
        (18, 32, "T$Hxvd2.wul^WBjrgGfhfPniWUju"),
    ],
)
def test_a_blurhash_equals_the_reference_encoders(width, height, known):
    made = placeholder.describe(_ramps(width, height), width, height, "blurhash")

    assert made["placeholder"] == known


def test_a_blurhash_of_one_colour_is_defined():
    made = placeholder.describe(bytes(4 * 64), 8, 8, "blurhash")["placeholder"]

    assert made == "L00000fQfQfQfQfQfQfQfQfQfQfQ"


def _opened(uri):
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize(("width", "height"), [(64, 36), (36, 64), (64, 1), (7, 7)])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_a_data_uri_is_the_picture_in_a_kilobyte(width, height, has_alpha):
    if min(width, height) == 1:
        rgba = bytes(range(256))
    else:
        rgba = _ramps(width, height, has_alpha=has_alpha)
    uri = placeholder.describe(rgba, width, height, "lqip")["placeholder"]
    opened = _opened(uri)
    opened.load()
    expected = Image.frombytes("RGBA", (width, height), rgba).convert("RGBa")
    expected = expected.resize(opened.size, Image.Resampling.BOX).convert("RGBA")

    assert len(uri) <= 1024
    assert 7 <= max(opened.size) <= 32
    if height > 1:
        shape = width / height
        assert abs(opened.width / opened.height - shape) < 0.35 * shape
    if not has_alpha and height > 1:
        # Red and green are slopes; blue changes from pixel to pixel.
        far = ImageChops.difference(opened.convert("RGB"), expected.convert("RGB"))
        assert max(ImageStat.Stat(far).mean[:2]) < 12


def test_the_largest_picture_that_fits_is_taken_also_of_noise():
    dice = random.Random(1)
    noise = bytes(dice.randrange(256) for _ in range(64 * 64 * 4))
    plain = bytes([200, 100, 50, 255] * 64 * 64)

    sizes = [
        _opened(placeholder.describe(one, 64, 64, "lqip")["placeholder"]).size
        for one in (noise, plain)
    ]

    assert sizes[0][0] >= 8
    assert sizes[1] == (32, 32)


def test_transparency_is_marked_and_carried():
    # Given the same picture opaque and with an alpha channel
    has_alpha = placeholder.thumbhash(_ramps(20, 20, has_alpha=True), 20, 20)
    opaque = placeholder.thumbhash(_ramps(20, 20), 20, 20)
    # Then bit 23 tells them apart, and alpha's own mean stands in the sixth byte
    assert has_alpha[2] & 0x80
    assert not opaque[2] & 0x80
    assert has_alpha[5] & 15 == 7


def test_one_colour_is_given_as_it_is():
    # Given a picture of one colour / When it is described
    made = placeholder.describe(bytes((200, 30, 60, 255)) * 12, 4, 3)
    # Then that colour dominates, and the hash is base64
    assert made["dominant_color"] == "#c81e3c"
    assert len(base64.b64decode(made["placeholder"])) >= 5


def test_the_ground_of_a_slide_is_told_without_the_edges_of_its_text():
    edges = bytes((238, 238, 240, 255)) * 4 + bytes((250, 250, 250, 255)) * 4
    rgba = bytes((255, 255, 255, 255)) * 9 + edges + bytes((0, 0, 0, 255)) * 3
    assert placeholder.dominant_color(rgba) == "#ffffff"


def test_where_no_colour_stands_out_the_mean_is_told():
    rgba = b"".join(bytes((200 + n, 30, 60, 255)) for n in range(0, 10, 2))
    assert placeholder.dominant_color(rgba) == "#cc1e3c"


def test_transparent_pixels_do_not_dominate():
    # Given more transparent red than opaque blue / Then blue dominates
    rgba = bytes((255, 0, 0, 0)) * 9 + bytes((0, 0, 255, 255)) * 3
    assert placeholder.dominant_color(rgba) == "#0000ff"


def test_where_all_is_half_transparent_its_colour_is_told():
    rgba = bytes((255, 0, 0, 127)) * 6 + bytes((0, 0, 0, 0)) * 9
    assert placeholder.dominant_color(rgba) == "#ff0000"


def test_nothing_opaque_is_black():
    assert placeholder.dominant_color(bytes((9, 9, 9, 0)) * 4) == "#000000"


@pytest.mark.parametrize(("width", "height"), [(0, 4), (101, 1), (3, 3)])
def test_sizes_that_do_not_fit_are_named(width, height):
    with pytest.raises(ValueError, match=f"{width}x{height}"):
        placeholder.thumbhash(bytes(16), width, height)
