"""Facts that only FFmpeg's description has: cropping, and Dolby Vision's profile."""

from __future__ import annotations

import struct
import subprocess

import pytest
from PIL import Image

from common.outputs.specs import OUTPUT_SPEC
from tests.worker.media.probe.boxes import into_sample_entry
from worker.media.engine import RenderJob, Watch
from worker.media.probe.description import codec_name, dolby_profile, kept_size
from worker.media.source_file import LocalFile

_FRAME = {"width": 320, "height": 240}


def _with_clap(moving: bytes, *edges: int) -> bytes:
    """Put a clean aperture (ISO/IEC 14496-12, 12.1.4) into the first sample entry.

    ``edges`` are the pixels cut off left, right, top and bottom.
    """
    left, right, top, bottom = edges
    sides = (320 - left - right, 1, 240 - top - bottom, 1)
    clap = struct.pack(
        ">I4s4I4i", 40, b"clap", *sides, left - right, 2, top - bottom, 2
    )
    return into_sample_entry(moving, b"avc1", clap)


@pytest.fixture(scope="session")
def cropped(make, ffmpeg):
    """MP4 and Matroska that show 240x200 of 320x240 pixels; what is cut is red."""
    rest = "testsrc2=s=240x200:r=25:d=2,pad=320:240:20:30:red"
    whole = make("whole.mp4", rest, "-pix_fmt", "yuv420p", "-g", "25")
    clips = {".mp4": whole.with_name("cropped.mp4")}
    clips[".mp4"].write_bytes(_with_clap(whole.read_bytes(), 20, 60, 30, 10))
    clips[".mkv"] = whole.with_name("cropped.mkv")
    words = ["-v", "error", "-y", "-i", clips[".mp4"], "-c", "copy", clips[".mkv"]]
    subprocess.run([ffmpeg, *words], check=True, timeout=60)
    return clips


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_given_cropping_when_probed_then_the_shown_size_is_what_is_left(
    engine, cropped, suffix
):
    video = engine.probe(LocalFile(cropped[suffix])).video

    assert (video.width, video.height) == (240, 200)
    assert (video.coded_width, video.coded_height) == (320, 240)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("kind", ["thumbnail", "animation", "storyboard", "preview"])
def test_given_cropping_when_rendered_then_the_rest_alone_is_shown(
    engine, cropped, workdir, suffix, kind
):
    clip = cropped[suffix]
    job = RenderJob(
        OUTPUT_SPEC.validate_python({"kind": kind}),
        engine.probe(LocalFile(clip)),
        LocalFile(clip),
        workdir,
    )

    shown = engine.render(job, Watch()).files[0]

    assert (shown.width, shown.height) == (240, 200)
    with Image.open(shown.path) as image:
        red, green, blue = image.convert("RGB").getpixel((120, 199))
    assert not (red > 200 and green < 60 and blue < 60)


def test_given_cropping_of_another_stream_when_read_then_it_does_not_count():
    text = "  Stream #0:1: Video: h264\n    Side data:\n      Frame Cropping: 8/0/0/0\n"

    assert kept_size(text, 0, _FRAME) == (320, 240)
    assert kept_size(text, 1, _FRAME) == (312, 240)


def test_given_more_cropping_than_picture_when_read_then_it_does_not_count():
    text = "  Stream #0:0: Video: h264\n      Frame Cropping: 200/120/0/0\n"

    assert kept_size(text, 0, _FRAME) == (320, 240)


def test_given_dolby_vision_when_read_then_its_profile_is_that_of_its_stream():
    record = "DOVI configuration record: version: 1.0, profile: 8, level: 4, rpu flag"
    text = f"  Stream #0:0: Audio: aac\n  Stream #0:1: Video: hevc\n      {record}: 1\n"

    assert dolby_profile(text, 1) == 8
    assert dolby_profile(text, 0) is None


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("none (CRAW / 0x57415243), none, 320x180, 28 kb/s", "CRAW"),
        ("none ([16][0][0][0] / 0x0010), none, 64x36", "[16][0][0][0]"),
        ("avs3 (av3a / 0x61337661), none, 64x36", "avs3"),
        ("none, none, 64x36", "unknown"),
    ],
)
def test_given_a_stream_without_a_decoder_then_its_codec_or_tag_is_read(said, name):
    text = f"  Stream #0:0: Audio: aac\n  Stream #0:1[0x2](und): Video: {said}\n"

    assert codec_name(text, 1) == name
