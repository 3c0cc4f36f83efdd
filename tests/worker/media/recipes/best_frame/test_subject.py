"""A smart crop keeps the subject, wherever it is and however the film is turned."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.worker.media.recipes.ramps import ffmpeg

WIDTH, HEIGHT = 320, 180
FPS, SECONDS = 25, 4
# Grass that stands still, lively enough that its edges say nothing.
GROUND = f"nullsrc=s={WIDTH}x{HEIGHT}:r={FPS}:d={SECONDS},format=gbrp"
GRASS = f"{GROUND},geq=r='60+40*mod(X*7+Y*13,5)/5':g='110+40*mod(X*3+Y*5,7)/7':b=50"
PLAIN = f"color=0x507090:s={WIDTH}x{HEIGHT}:r={FPS}:d={SECONDS}"
# An orange square of 36 pixels, at rest or going down; and grey that hardly differs.
RESTING = "drawbox={x}:72:36:36:0xe07020:fill"
LOSSLESS = ("-c:v", "libx264rgb", "-qp", "0", "-pix_fmt", "rgb24", "-g", "25")
SQUARE = {"width": 90, "height": 90, "fit": "cover", "gravity": "smart"}
TALL = {"width": 45, "height": 80, "fit": "cover", "gravity": "smart"}


def film(path, graph):
    ffmpeg("-f", "lavfi", "-i", graph, *LOSSLESS, str(path))
    return path


def moving(path, x, ground=GRASS, colour="0x708050"):
    """Make a film in which a dull square goes down at ``x``, 40 pixels a second."""
    square = f"color={colour}:s=36x36:r={FPS}:d={SECONDS}"
    graph = f"{ground}[g];{square}[s];[g][s]overlay=x={x}:y='10+40*t':format=gbrp"
    return film(path, graph)


def holds(crop, x, y, width=36, height=36):
    """Return whether a crop has the whole of a box, to the pixel of an even cut."""
    across = crop["x"] - 1 <= x and x + width <= crop["x"] + crop["width"] + 1
    down = crop["y"] - 1 <= y and y + height <= crop["y"] + crop["height"] + 1
    return across and down


@pytest.mark.parametrize("x", [8, 70, 142, 240, 280])
@pytest.mark.parametrize("box", [SQUARE, TALL], ids=["square", "tall"])
def test_a_still_keeps_a_colour_that_stands_out(render, tmp_path, box, x):
    graph = f"{PLAIN},{RESTING.format(x=x)},format=gbrp"
    source = film(tmp_path / "film.mp4", graph)

    (made,) = render(source, kind="thumbnail", time=2, **box).files

    assert holds(made.details["crop"], x, 72), made.details["crop"]


@pytest.mark.parametrize("x", [10, 250])
def test_a_still_keeps_what_moves_before_lively_ground(render, tmp_path, x):
    source = moving(tmp_path / "film.mp4", x)

    (made,) = render(source, kind="thumbnail", time=2, **TALL).files

    assert holds(made.details["crop"], x, 90), made.details["crop"]


def test_the_picture_is_what_the_stated_crop_names(render, tmp_path):
    graph = f"{PLAIN},{RESTING.format(x=240)},format=gbrp"
    source = film(tmp_path / "film.mp4", graph)

    (made,) = render(source, kind="thumbnail", time=2, format="png", **SQUARE).files

    left = made.details["crop"]["x"]
    with Image.open(made.path) as image:
        shown = image.convert("RGB").point(lambda level: 255 * (level > 200))
        box = shown.getchannel("R").getbbox()
    assert (box[0] * 2 + left, box[2] * 2 + left) == pytest.approx((240, 276), abs=3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_film_keeps_its_subject(render, tmp_path, degrees):
    graph = f"{PLAIN},{RESTING.format(x=250)},format=gbrp"
    upright = film(tmp_path / "upright.mp4", graph)
    source = tmp_path / "turned.mp4"
    turn = ("-display_rotation", str(degrees))
    ffmpeg(*turn, "-i", str(upright), "-c", "copy", str(source))

    (made,) = render(source, kind="thumbnail", time=2, **SQUARE).files

    # The rotation of a display matrix goes the other way than ours.
    places = {90: (72, 320 - 286), 180: (34, 72), 270: (72, 250)}
    assert holds(made.details["crop"], *places[degrees]), made.details["crop"]


def test_policy_auto_keeps_the_subject_of_the_frame_that_it_takes(render, tmp_path):
    source = moving(tmp_path / "film.mp4", 250, PLAIN, "0xe07020")

    (made,) = render(source, kind="thumbnail", **TALL).files

    y = 10 + 40 * round(made.time * FPS) / FPS
    assert holds(made.details["crop"], 250, y), made.details["crop"]


def test_each_of_several_stills_has_its_own_crop(render, tmp_path):
    right = RESTING.format(x=270) + ":enable='gte(t,2)'"
    left = RESTING.format(x=14) + ":enable='lt(t,2)'"
    graph = f"{PLAIN},{left.replace(':fill', ':t=fill')},"
    graph += f"{right.replace(':fill', ':t=fill')},format=gbrp"
    source = film(tmp_path / "film.mp4", graph)

    made = render(source, kind="thumbnail", times=[1, 3], **SQUARE).files

    assert [one.details["crop"]["x"] for one in made] == pytest.approx([0, 140], abs=8)
    assert holds(made[0].details["crop"], 14, 72)
    assert holds(made[1].details["crop"], 270, 72)


@pytest.mark.parametrize("kind", ["animation", "preview"])
def test_what_moves_has_one_crop_that_keeps_the_subject(render, tmp_path, kind):
    source = moving(tmp_path / "film.mp4", 250)
    more = {"segments": 3, "segment_duration": 0.5} if kind == "preview" else {}

    (made,) = render(source, kind=kind, format="mp4", **TALL, **more).files

    assert holds(made.details["crop"], 250, 0, 36, HEIGHT), made.details["crop"]


def test_an_even_picture_is_cut_at_its_centre(render, tmp_path):
    source = film(tmp_path / "film.mp4", f"{PLAIN},format=gbrp")

    (made,) = render(source, kind="thumbnail", time=2, **SQUARE).files

    assert made.details["crop"] == {"x": 70, "y": 0, "width": 180, "height": 180}


def test_a_crop_and_smart_gravity_look_at_the_part_that_is_left(render, tmp_path):
    graph = f"{PLAIN},{RESTING.format(x=270)},{RESTING.format(x=20)},format=gbrp"
    source = film(tmp_path / "film.mp4", graph)

    (made,) = render(
        source, kind="thumbnail", time=2, crop=[0, 0, "50%", "100%"], **TALL
    ).files

    assert holds(made.details["crop"], 20, 72), made.details["crop"]


def test_a_frame_of_one_picture_and_a_film_of_one_slide_have_a_crop(render, tmp_path):
    photo = tmp_path / "photo.png"
    graph = f"{PLAIN},{RESTING.format(x=250)}"
    ffmpeg("-f", "lavfi", "-i", graph, "-frames:v", "1", str(photo))

    (made,) = render(photo, kind="thumbnail", **SQUARE).files

    assert holds(made.details["crop"], 250, 72), made.details["crop"]
