"""Which video track of a file is shown, and the error if none can be."""

from __future__ import annotations

import pytest

from common.errors import UnsupportedFormat
from common.outputs.specs import ThumbnailSpec
from tests.conftest import CASES
from worker.media.engine import RenderJob, Watch
from worker.media.source_file import LocalFile

_TRACK_ENABLED = 0x000001


def _flagged(moving: bytes, track: int, flags: int) -> bytes:
    """Set the flags of a track header (tkhd), counted from 0."""
    at = -1
    for _ in range(track + 1):
        at = moving.index(b"tkhd", at + 1)
    return moving[: at + 5] + flags.to_bytes(3, "big") + moving[at + 8 :]


def _retagged(moving: bytes, old: bytes, new: bytes) -> bytes:
    """Rename the first sample entry of that codec in the sample descriptions."""
    at = moving.index(old, moving.index(b"stsd"))
    return moving[:at] + new + moving[at + 4 :]


@pytest.fixture(scope="module")
def two_tracks(make):
    """A large track, then a small one; both are enabled."""
    source = "testsrc2=s=320x180:r=10:d=2,split[out0][b];[b]scale=64:36[out1]"
    return make("two_tracks.mov", source, "-map", "0:0", "-map", "0:1")


def test_given_a_larger_track_that_is_disabled_then_the_enabled_one_is_the_film(engine):
    media = engine.probe(LocalFile(CASES / "disabled_bigger_depth_track.mov"))

    assert (media.video.index, media.video.width) == (1, 320)
    assert media.warnings == []


@pytest.mark.parametrize(("first", "second"), [(1, 1), (0, 0)])
def test_given_tracks_that_are_enabled_alike_then_the_largest_is_the_film(
    engine, two_tracks, tmp_path, first, second
):
    moving = _flagged(two_tracks.read_bytes(), 0, first * _TRACK_ENABLED)
    path = tmp_path / "alike.mov"
    path.write_bytes(_flagged(moving, 1, second * _TRACK_ENABLED))

    assert engine.probe(LocalFile(path)).video.width == 320


@pytest.mark.parametrize(("default", "width"), [(0, 320), (1, 64)])
def test_given_a_matroska_default_track_then_it_is_the_film(
    engine, make, two_tracks, default, width
):
    flags = ("-disposition:0", "0", "-disposition:1", "0")
    flags = (*flags[: 2 * default], f"-disposition:{default}", "default", *flags[2:])
    words = ("-map", "0", "-c", "copy", *flags, f"-disposition:{default}", "default")

    clip = make(f"default_{default}.mkv", "", *words, copy=two_tracks)

    assert engine.probe(LocalFile(clip)).video.width == width


def test_given_a_track_of_an_unknown_codec_then_the_error_names_its_tag(
    engine, workdir
):
    path = CASES / "unknown_codec_track_CRAW.mp4"
    media = engine.probe(LocalFile(path))
    job = RenderJob(ThumbnailSpec(kind="thumbnail"), media, LocalFile(path), workdir)

    with pytest.raises(UnsupportedFormat, match='"CRAW"'):
        engine.render(job, Watch())


def test_given_an_unknown_codec_beside_a_film_then_the_film_is_shown(
    engine, make, tmp_path
):
    # Given a film whose first track, of two that are enabled, cannot be decoded
    path = tmp_path / "half.mov"
    source = "testsrc2=s=64x36:r=10:d=1,split[out0][out1]"
    film = make("two_alike.mov", source, "-map", "0:0", "-map", "0:1").read_bytes()
    path.write_bytes(_retagged(film, b"avc1", b"CRAW"))

    media = engine.probe(LocalFile(path))

    assert (media.video.index, media.undecodable) == (1, ["CRAW"])
    assert media.warnings == ["other_track"]
