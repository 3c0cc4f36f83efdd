"""The colour tags of files, read without FFmpeg."""

from __future__ import annotations

import pytest

from tests.acceptance import tags

BT709 = tags.Colours(tags.BT709, tags.BT709, tags.BT709, full=False)
SOURCES = {
    "untagged": "null",
    "PAL": "setparams=color_primaries=bt470bg:color_trc=bt470bg:colorspace=bt470bg",
    "HDR": "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc",
}


@pytest.fixture(params=list(SOURCES))
def film(request, make):
    """A film whose colours are described in one of these ways."""
    words = ("-vf", f"{SOURCES[request.param]},format=yuv420p", "-c:v", "ffv1")
    source = "testsrc2=s=96x64:r=5:d=0.6"
    return make(f"{request.param}.mkv", source, *words)


@pytest.mark.parametrize(
    ("form", "read"),
    [("mp4", tags.of_boxes), ("avif", tags.of_boxes), ("webm", tags.of_matroska)],
)
def test_given_a_film_when_a_clip_is_made_then_it_says_all_three_of_its_colours(
    render, film, form, read
):
    (made,) = render(film, kind="animation", format=form, start=0).files

    assert set(read(made.path.read_bytes())) == {BT709}


def test_given_a_film_when_a_png_is_made_then_it_says_srgb_and_nothing_else(
    render, film
):
    (made,) = render(film, kind="thumbnail", format="png", time=0).files

    said = tags.of_png(made.path.read_bytes())
    assert set(said) == {"sRGB", "gAMA", "cHRM"}
    assert said["gAMA"] == (45455).to_bytes(4)


def test_given_a_test_clip_tagged_as_hdr_when_read_then_it_says_so(film, request):
    """The clips of this suite are what they are called."""
    (said,) = tags.of_matroska(film.read_bytes())

    wanted = {"untagged": (2, 2), "PAL": (5, 5), "HDR": (9, 16)}
    name = request.node.callspec.params["film"]
    assert (said.primaries, said.transfer) == wanted[name]
