"""The facts of a file become what a person would see."""

from __future__ import annotations

import math
import random
from types import SimpleNamespace

import pytest

from common.errors import FramemillError, TooLarge, TooLong
from common.settings.load import Settings
from common.settings.sections import Limits
from worker.media.engine import Engine
from worker.media.probe import geometry, media_info
from worker.media.source_file import LocalFile


def _fixed(degrees: float, *, mirrored: bool = False) -> list[int]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    flip = -1 if mirrored else 1
    row = [flip * cos, flip * sin, 0, -sin, cos, 0, 0, 0]
    return [round(value * 65536) for value in row] + [1 << 30]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_given_a_display_matrix_when_it_is_read_then_turn_and_mirror_are_known(
    degrees, mirrored
):
    matrix = _fixed(degrees, mirrored=mirrored)

    assert geometry.orientation(matrix) == (degrees, mirrored)


@pytest.mark.parametrize("matrix", [[0] * 9, _fixed(17), _fixed(45)])
def test_given_no_quarter_turn_when_the_matrix_is_read_then_it_has_no_orientation(
    matrix,
):
    assert geometry.orientation(matrix) is None


def test_given_a_film_when_it_is_probed_then_its_facts_are_right(engine, film):
    media = engine.probe(LocalFile(film))

    video = media.video
    assert (video.width, video.height, video.fps, video.frames) == (320, 180, 25, 150)
    assert media.duration == pytest.approx(6.0, abs=0.01)
    assert video.keyframe_interval == pytest.approx(2.0, abs=0.05)
    assert media.warnings == []


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_given_a_file_too_large_to_read_then_no_gap_is_taken_for_a_group(
    engine, make, monkeypatch, suffix
):
    # Given two minutes of which only the begin and the end are read
    words = ("-g", "50", "-sc_threshold", "0")
    clip = make(f"two_minutes{suffix}", "testsrc2=s=64x36:r=25:d=120", *words)
    monkeypatch.setattr(media_info, "_SCAN_BYTES", 1)

    media = engine.probe(LocalFile(clip))
    gap = media.video.keyframe_interval

    assert gap is None or gap == pytest.approx(2.0, abs=0.1)
    # Nor is a seek to a keyframe that was not read a fault of the file.
    assert media.warnings == []


def test_given_pictures_that_lead_a_keyframe_when_it_is_probed_then_seeks_are_trusted(
    engine, make
):
    """RADL pictures of HEVC follow the keyframe in the file and are shown before it."""
    radl = "open-gop=0:radl=2:keyint=50:min-keyint=50:bframes=4:scenecut=0:log-level=0"
    words = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", radl)

    media = engine.probe(
        LocalFile(make("radl.mp4", "testsrc2=s=192x108:r=25:d=8", *words))
    )

    assert media.warnings == []


def test_given_h264_in_an_avi_when_it_is_probed_then_its_last_frames_have_their_times(
    engine, make
):
    """An AVI stores no times; what finds them has none for the last frames."""
    words = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
    avi = make("reordered.avi", "testsrc2=s=192x108:r=24:d=3", *words, "-g", "50")

    media = engine.probe(LocalFile(avi))

    assert media.video.frames == 72
    assert media.video.duration == pytest.approx(3.0, abs=0.001)
    assert media.duration == pytest.approx(media.video.start_time + 3.0, abs=0.001)


def test_given_an_animated_png_when_it_is_probed_then_no_stated_length_was_wrong(
    engine, make
):
    media = engine.probe(
        LocalFile(make("a.apng", "testsrc2=s=64x36:r=10:d=3", "-f", "apng"))
    )

    assert media.duration == pytest.approx(3.0, abs=0.01)
    assert media.warnings == []


@pytest.mark.parametrize(
    "words", [("-c:v", "libx264"), ("-c:v", "libx265", "-x265-params", "log-level=0")]
)
def test_given_a_raw_stream_when_it_is_probed_then_its_frames_tell_its_length(
    engine, make, words
):
    suffix = ".h264" if "libx264" in words else ".hevc"

    media = engine.probe(
        LocalFile(make(f"raw{suffix}", "testsrc2=s=64x36:r=25:d=3", *words))
    )

    assert media.duration == pytest.approx(3.0, abs=0.01)
    assert media.warnings == ["seek_unreliable"]


def test_given_flipped_bits_when_a_transport_stream_is_probed_then_no_defect_of_ours(
    engine, make, tmp_path
):
    """Damage makes new streams appear while the packets are read."""
    words = ("-c:v", "libx264", "-g", "25", "-pix_fmt", "yuv420p")
    whole = make("flips.ts", "testsrc2=s=320x180:r=25:d=4", *words).read_bytes()
    damaged, defects = tmp_path / "damaged.ts", []

    for seed in range(12):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(len(data) // 150):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        damaged.write_bytes(data)
        try:
            engine.probe(LocalFile(damaged))
        except FramemillError as error:
            defects += [error.detail] if error.code == "internal_error" else []

    assert not defects


def test_given_anamorphic_pixels_when_probed_then_the_shown_size_is_told(engine, make):
    clip = make("sar.mp4", "testsrc2=s=320x180:d=1", "-vf", "setsar=4/3")

    video = engine.probe(LocalFile(clip)).video

    assert (video.width, video.height) == (427, 180)
    assert (video.coded_width, video.sample_aspect_ratio) == (320, "4:3")


def test_given_a_turned_clip_when_probed_then_the_shown_size_is_upright(
    engine, make, film
):
    words = ["-c", "copy", "-metadata:s:v:0", "rotate=90"]
    turned = _turned(make, film, words)

    video = engine.probe(LocalFile(turned)).video

    assert (video.rotation, video.width, video.height) == (90, 180, 320)


def _turned(make, film, words):
    """Write the display matrix by hand: FFmpeg's option for it is for inputs."""
    path = make("turned.mp4", "", *words, copy=film)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 4 + 20 + 16
    matrix = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
    for number, value in enumerate(matrix):
        start = place + 4 * number
        data[start : start + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    return path


def test_given_sound_alone_when_probed_then_there_is_no_video(engine, make):
    clip = make("sound.m4a", "sine=d=1", "-c:a", "aac")

    media = engine.probe(LocalFile(clip))

    assert media.video is None
    assert media.audio.codec == "aac"


def test_given_a_longer_sound_when_probed_then_the_length_is_the_films(engine, make):
    words = ["-f", "lavfi", "-i", "sine=d=8", "-c:a", "aac", "-pix_fmt", "yuv420p"]
    clip = make("longer_sound.mkv", "testsrc2=s=160x90:d=2", *words)

    assert engine.probe(LocalFile(clip)).duration == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("limits", "error", "setting"),
    [
        ({"source_seconds": 3}, TooLong, "SOURCE_SECONDS"),
        ({"source_bytes": 1000}, TooLarge, "SOURCE_BYTES"),
    ],
)
def test_given_a_limit_when_a_film_passes_it_then_the_error_names_the_setting(
    film, limits, error, setting
):
    engine = Engine(Settings(limits=Limits(**limits)))

    with pytest.raises(error) as caught:
        engine.probe(LocalFile(film))

    assert f"FRAMEMILL_LIMITS_{setting}" in (caught.value.hint or "")


def test_given_transparency_when_probed_then_it_is_told(engine, make):
    clip = make("clear.mov", "color=red@0.5:s=64x64:d=1,format=rgba", "-c:v", "png")

    assert engine.probe(LocalFile(clip)).video.alpha


def test_given_hdr_tags_when_probed_then_the_kind_is_told(engine, make):
    tags = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    words = ["-c:v", "libx265", "-x265-params", f"log-level=none:{tags}"]
    words += ["-pix_fmt", "yuv420p10le"]

    clip = make("hdr.mp4", "testsrc2=s=128x72:d=0.4", *words)

    assert engine.probe(LocalFile(clip)).video.hdr == "hdr10"


def test_given_a_start_and_a_length_when_they_are_added_then_no_noise_is_stated():
    video = SimpleNamespace(start_time=0.1, duration=0.2)
    facts = {"duration": None, "audios": []}

    assert media_info._duration(video, facts, []) == 0.3
