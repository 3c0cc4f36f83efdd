"""Pictures that lie in several streams: tiles, and transparency beside the colours."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from common.errors import TooManyPixels
from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from common.settings.sections import Limits
from tests.conftest import CASES
from tests.worker.media.probe.heif import ALPHA, Heif, coded, grid, overlay
from worker.media.engine import RenderJob, Watch
from worker.media.probe import isobmff, media_info
from worker.media.source_file import LocalFile

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
_COLOURS = ("red", "lime", "blue", "white")
_AREA = {"red": RED, "lime": GREEN, "blue": BLUE, "white": WHITE}


@pytest.fixture(scope="module")
def tiles(ffmpeg, tmp_path_factory):
    """Four tiles of 64x48, each of one colour."""
    folder = tmp_path_factory.mktemp("tiles")
    return [coded(ffmpeg, folder, f"color={name}:s=64x48", "gbrp") for name in _COLOURS]


@pytest.fixture(scope="module")
def veil(ffmpeg, tmp_path_factory):
    """Transparency of 64x48: the right half shows nothing."""
    folder = tmp_path_factory.mktemp("veil")
    source = "color=white:s=64x48,drawbox=32:0:32:48:black:t=fill"
    return coded(ffmpeg, folder, source, "gray", (b"auxC", ALPHA))


@pytest.fixture
def show(engine, workdir):
    """Return the still of a file and what the probe found."""

    def _show(path, **spec):
        media = engine.probe(LocalFile(path))
        requested = {"kind": "thumbnail", "format": "png", "policy": "exact", "time": 0}
        spec = OUTPUT_SPEC.validate_python(requested | spec)
        done = engine.render(RenderJob(spec, media, LocalFile(path), workdir), Watch())
        with Image.open(done.files[0].path) as picture:
            return picture.convert("RGBA"), media

    return _show


def _grid(tiles, *properties, cut=(128, 96)):
    heif = Heif()
    heif.add(grid(2, 2, *cut, *properties))
    heif.references.append((b"dimg", 1, tuple(heif.add(tile) for tile in tiles)))
    return heif


def _is(pixel, colour):
    return all(abs(one - two) <= 3 for one, two in zip(pixel, colour, strict=False))


def _corners(picture):
    """Return the colours of the upper left, upper right, lower left, lower right."""
    width, height = picture.size
    at = [(5, 5), (width - 6, 5), (5, height - 6), (width - 6, height - 6)]
    return [picture.getpixel(place)[:3] for place in at]


@pytest.mark.parametrize(
    ("name", "body", "size", "corners"),
    [
        (None, None, (128, 96), (RED, GREEN, BLUE, WHITE)),
        (b"irot", b"\1", (96, 128), (GREEN, WHITE, RED, BLUE)),
        (b"irot", b"\3", (96, 128), (BLUE, RED, WHITE, GREEN)),
        (b"imir", b"\0", (128, 96), (BLUE, WHITE, RED, GREEN)),
        (b"imir", b"\1", (128, 96), (GREEN, RED, WHITE, BLUE)),
        # The clean aperture: what is left of 128x96 around a place to the left.
        (
            b"clap",
            struct.pack(">IIIIiIiI", 80, 1, 96, 1, -24, 1, 0, 1),
            (80, 96),
            (RED, GREEN, BLUE, WHITE),
        ),
    ],
)
def test_given_a_photo_in_tiles_then_it_is_shown_whole_and_upright(
    show, tiles, tmp_path, name, body, size, corners
):
    heif = _grid(tiles, *([(name, body)] if name else []))

    picture, media = show(heif.write(tmp_path / "photo.heic"))

    assert picture.size == size == (media.video.width, media.video.height)
    seen = _corners(picture)
    assert all(map(_is, seen, corners)), seen
    assert media.warnings == []


def test_given_tiles_that_are_larger_than_the_photo_then_the_rest_is_cut_off(
    show, tiles, tmp_path
):
    heif = _grid(tiles, cut=(100, 70))

    picture, _ = show(heif.write(tmp_path / "photo.heic"))

    assert picture.size == (100, 70)
    assert all(map(_is, _corners(picture), (RED, GREEN, BLUE, WHITE)))


def test_given_pictures_on_a_canvas_then_each_lies_at_its_place(show, tiles, tmp_path):
    heif = Heif()
    heif.add(overlay(200, 100, (0, 0), (130, 50)))
    heif.references.append((b"dimg", 1, tuple(heif.add(one) for one in tiles[:2])))

    picture, _ = show(heif.write(tmp_path / "overlay.heic"))

    assert picture.size == (200, 100)
    places = [(10, 10), (150, 70), (100, 20)]
    seen = [picture.getpixel(place) for place in places]
    assert all(map(_is, seen, (RED, GREEN, (0, 0, 0)))), seen


@pytest.mark.parametrize("tiled", [False, True])
def test_given_a_photo_with_transparency_beside_it_then_it_is_kept(
    show, tiles, veil, tmp_path, tiled
):
    heif = _grid(tiles[:1] * 4, cut=(64, 48)) if tiled else Heif([tiles[0]])
    heif.references.append((b"auxl", heif.add(veil), (1,)))
    path = heif.write(tmp_path / "veiled.avif")

    clear, media = show(path)
    (left, right) = (clear.getpixel((x, 20)) for x in (10, 50))
    assert media.video.alpha
    assert (left[3], right[3]) == (255, 0)
    assert _is(left, RED)

    ground, _ = show(path, format="jpeg", background="#0000ff")
    assert _is(ground.getpixel((50, 20)), BLUE)


def test_given_other_pictures_in_the_file_then_the_primary_one_is_shown(
    show, tiles, tmp_path
):
    # Given a burst: a larger picture follows the one that is to be shown
    heif = Heif([tiles[1]])
    heif.add(tiles[0])

    picture, _ = show(heif.write(tmp_path / "burst.heic"))

    assert _is(picture.getpixel((5, 5)), GREEN)


def test_given_a_grid_over_the_limit_of_pixels_then_it_is_refused(tiles, tmp_path):
    path = _grid(tiles).write(tmp_path / "photo.heic")
    limits = Limits(source_pixels=128 * 96 - 1)

    with pytest.raises(TooManyPixels, match="128x96"):
        media_info.probe(LocalFile(path), Settings(limits=limits))


def test_given_a_sequence_with_an_alpha_track_then_each_frame_is_transparent(show):
    path = CASES / "animated_avif_alpha_track.avif"

    picture, media = show(path, time=3)

    assert (media.video.frames, media.video.alpha) == (20, True)
    assert [picture.getpixel((x, 45))[3] for x in (20, 140)] == [255, 0]


def test_given_a_file_that_breaks_the_rules_then_nothing_is_put_together(
    engine, tiles, tmp_path
):
    # Given a grid that says it has four tiles and names three
    heif = _grid(tiles)
    heif.references[0] = (b"dimg", 1, heif.references[0][2][:3])
    path = heif.write(tmp_path / "photo.heic")

    assert isobmff.read(LocalFile(path)) == isobmff.Assembly()
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert isobmff.read(LocalFile(path)).picture is None
