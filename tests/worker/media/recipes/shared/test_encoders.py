"""The colour tags of files, read without FFmpeg."""

from __future__ import annotations

import pytest

from tests.acceptance import tags
from worker.media.recipes.shared import encoders

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


@pytest.mark.parametrize("size", [(2, 2), (64, 48), (320, 180), (1280, 720)])
@pytest.mark.parametrize("turned", [False, True])
def test_given_a_size_then_no_block_of_a_webp_ends_between_two_squares_of_libwebp(
    size: tuple[int, int], *, turned: bool
) -> None:
    width, height = reversed(size) if turned else size

    words = encoders.moving("webp", 75, loop=0, width=width, height=height, fps=10.0)

    edges = range(words["cr_size"], max(size), words["cr_size"])
    assert words["cr_size"] <= 256
    assert not [edge for edge in edges if edge % 8 == 0]


def test_given_a_webp_too_large_for_such_blocks_then_its_frames_are_whole() -> None:
    words = encoders.moving("webp", 75, loop=0, width=1280, height=2276, fps=10.0)

    assert "cr_threshold" not in words
