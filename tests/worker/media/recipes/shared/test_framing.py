"""Crop, trim and gravity show the part of the picture that they name."""

from __future__ import annotations

import pytest
from PIL import Image

from common.errors import CropOutside
from tests.worker.media.recipes.ramps import ffmpeg

WIDTH, HEIGHT = 320, 180
# Red grows to the right, green downwards: each pixel says where it comes from.
WHERE = (
    f"nullsrc=s={WIDTH}x{HEIGHT}:r=10:d=2,format=gbrp,"
    f"geq=r='255*X/{WIDTH - 1}':g='255*Y/{HEIGHT - 1}':b=90"
)
LOSSLESS = ("-c:v", "libx264rgb", "-qp", "0", "-pix_fmt", "rgb24")
TURNS = {"upright": 0, "left": 90, "over": 180, "right": 270}


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Return the film as it is, and turned by a display matrix."""
    folder = tmp_path_factory.mktemp("where")
    upright = folder / "upright.mp4"
    ffmpeg("-f", "lavfi", "-i", WHERE, *LOSSLESS, str(upright))
    found = {"upright": upright}
    for name, degrees in TURNS.items():
        if degrees:
            turned = folder / f"{name}.mp4"
            matrix = ("-display_rotation", str(degrees))
            ffmpeg(*matrix, "-i", str(upright), "-c", "copy", str(turned))
            found[name] = turned
    mirrored = folder / "mirrored.mp4"
    flip = ("-display_rotation", "90", "-display_hflip")
    ffmpeg(*flip, "-i", str(upright), "-c", "copy", str(mirrored))
    return found | {"mirrored": mirrored}


@pytest.fixture(scope="module")
def wholes(films, tmp_path_factory):
    """Return the whole picture of each film, as FFmpeg itself turns it."""
    folder, found = tmp_path_factory.mktemp("wholes"), {}
    for name, film in films.items():
        still = folder / f"{name}.png"
        ffmpeg("-i", str(film), "-frames:v", "1", str(still))
        with Image.open(still) as image:
            found[name] = image.convert("RGB")
    return found


def seen(path):
    """Return the colours at the corners of a picture: where these come from."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
        right, bottom = rgb.width - 1, rgb.height - 1
        corners = ((0, 0), (right, 0), (0, bottom), (right, bottom))
        return [rgb.getpixel(corner)[:2] for corner in corners]


def whole_at(whole, x, y):
    """Return the colour of the whole upright picture at a place, kept inside."""
    place = (min(max(0, x), whole.width - 1), min(max(0, y), whole.height - 1))
    return whole.getpixel(place)[:2]


def is_shown(path, whole, crop):
    """Return whether a picture's corners are those of that part of the whole."""
    left, top = crop["x"], crop["y"]
    right, bottom = left + crop["width"] - 1, top + crop["height"] - 1
    expected = [whole_at(whole, x, y) for y in (top, bottom) for x in (left, right)]
    # Scaling mixes in neighbours, a cut begins at an even pixel.
    return all(
        abs(a - b) <= 6
        for one, other in zip(seen(path), expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("film", [*TURNS, "mirrored"])
@pytest.mark.parametrize(
    "crop",
    [
        [40, 20, 100, 60],
        ["50%", "10%", "25%", "50%"],
        [31, 17, 9000, 9000],
    ],
    ids=str,
)
def test_a_crop_is_the_part_that_is_named_however_the_film_is_turned(
    render, films, wholes, film, crop
):
    words = {"kind": "thumbnail", "time": 1, "format": "png"}
    (part,) = render(films[film], **words, crop=crop).files
    shown, whole = part.details["crop"], wholes[film]
    sides = [
        float(one[:-1]) / 100 * whole.size[place % 2] if isinstance(one, str) else one
        for place, one in enumerate(crop)
    ]
    sides[2] = min(sides[2], whole.width - sides[0])
    sides[3] = min(sides[3], whole.height - sides[1])
    assert list(shown.values()) == pytest.approx(sides, abs=2)
    assert is_shown(part.path, whole, shown)
    assert (part.width, part.height) == (shown["width"], shown["height"])


@pytest.mark.parametrize(
    ("gravity", "x", "y"),
    [
        ("center", 70, 0),
        ("west", 0, 0),
        ("north_east", 140, 0),
        ("south", 70, 0),
        ([0.0, 0.0], 0, 0),
        ([0.5, 0.5], 70, 0),
        ([0.4, 1.0], 38, 0),
        ([0.95, 0.1], 140, 0),
    ],
)
def test_cover_keeps_what_gravity_says(render, films, wholes, gravity, x, y):
    box = {"width": 90, "height": 90, "fit": "cover", "gravity": gravity}
    words = {"kind": "thumbnail", "time": 1, "format": "png"}
    (made,) = render(films["upright"], **words, **box).files
    whole = wholes["upright"]

    assert made.details["crop"] == {"x": x, "y": y, "width": 180, "height": 180}
    assert (made.width, made.height) == (90, 90)
    assert is_shown(made.path, whole, made.details["crop"])


def test_gravity_works_down_a_turned_film(render, films):
    words = {"kind": "thumbnail", "time": 1, "format": "png", "fit": "cover"}
    made = [
        render(films["left"], **words, width=90, height=45, gravity=one).files[0]
        for one in ("north", "south")
    ]

    assert [one.details["crop"]["y"] for one in made] == [0, 230]
    assert seen(made[0].path) != seen(made[1].path)


def test_a_crop_and_a_gravity_count_within_each_other(render, films):
    (made,) = render(
        films["upright"],
        kind="thumbnail",
        time=1,
        format="png",
        crop=["50%", 0, "50%", "100%"],
        fit="cover",
        width=80,
        height=90,
        gravity="east",
    ).files

    assert made.details["crop"] == {"x": 160, "y": 0, "width": 160, "height": 180}


@pytest.mark.parametrize("kind", ["animation", "preview"])
def test_what_moves_is_cut_in_the_same_way_throughout(render, films, kind):
    words = {"segments": 2, "segment_duration": 0.5} if kind == "preview" else {}
    (made,) = render(
        films["upright"],
        kind=kind,
        format="gif",
        crop=["25%", "25%", "25%", "50%"],
        **words,
    ).files
    with Image.open(made.path) as image:
        assert image.n_frames > 3
        places = []
        for frame in range(image.n_frames):
            image.seek(frame)
            places.append(image.convert("RGB").getpixel((2, 2))[:2])

    assert made.details["crop"] == {"x": 80, "y": 44, "width": 80, "height": 92}
    assert len(set(places)) == 1
    assert places[0] == pytest.approx((65, 66), abs=9)


def test_several_widths_show_the_same_crop(render, films):
    done = render(
        films["upright"],
        kind="thumbnail",
        time=1,
        crop=[0, 0, 200, 100],
        widths=[50, 100],
    )

    assert [(one.width, one.height) for one in done.files] == [(100, 50), (50, 25)]
    assert len({str(one.details["crop"]) for one in done.files}) == 1


def test_nothing_is_said_of_a_crop_where_none_was_made(render, films):
    assert "crop" not in render(films["upright"], kind="thumbnail").files[0].details


def test_a_crop_beside_the_picture_is_an_error_that_says_its_size(render, films):
    with pytest.raises(CropOutside, match="320 x 180 pixels") as raised:
        render(films["upright"], kind="thumbnail", crop=[320, 0, 10, 10])

    assert raised.value.pointer == "/crop"


@pytest.fixture(scope="module")
def barred(tmp_path_factory):
    """Return films with bars: above and below, at the sides, none, all black."""
    folder = tmp_path_factory.mktemp("bars")
    inner = "testsrc2=s=320x136:r=10:d=10,eq=brightness=0.05"
    graphs = {
        "letterbox": f"{inner},pad=320:180:0:22",
        "pillarbox": "testsrc2=s=136x180:r=10:d=10,pad=320:180:92:0",
        # Its first half is dark, so that one look would see other bars.
        "dark": f"{inner},drawbox=0:0:200:136:black:t=fill:enable='lt(t,6)',"
        "pad=320:180:0:22",
        "none": "testsrc2=s=320x180:r=10:d=10",
        "black": "color=black:s=320x180:r=10:d=10",
    }
    found = {}
    for name, graph in graphs.items():
        found[name] = folder / f"{name}.mp4"
        coded = ("-pix_fmt", "yuv420p", "-g", "10", "-crf", "18")
        ffmpeg("-f", "lavfi", "-i", graph, *coded, str(found[name]))
    return found


@pytest.mark.parametrize(
    ("film", "crop"),
    [
        ("letterbox", (0, 22, 320, 136)),
        ("dark", (0, 22, 320, 136)),
        ("pillarbox", (92, 0, 136, 180)),
        ("none", (0, 0, 320, 180)),
        ("black", (0, 0, 320, 180)),
    ],
)
def test_trim_cuts_off_bars_and_nothing_else(render, barred, film, crop):
    (made,) = render(barred[film], kind="thumbnail", time=1, trim=True).files

    assert tuple(made.details["crop"].values()) == pytest.approx(crop, abs=2)
    assert made.width == made.details["crop"]["width"]


def test_trim_works_for_what_moves_and_for_a_raw_stream(render, barred, tmp_path):
    raw = tmp_path / "raw.h264"
    ffmpeg("-i", str(barred["letterbox"]), "-c", "copy", str(raw))
    (gif,) = render(barred["letterbox"], kind="animation", trim=True, duration=1).files
    (still,) = render(raw, kind="thumbnail", trim=True).files

    assert gif.details["crop"] == still.details["crop"]
    assert (gif.width, gif.height) == (320, 136)
