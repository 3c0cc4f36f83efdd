"""What the container cuts off is not shown, and the shape is that of the rest."""

from __future__ import annotations

import struct
import subprocess

import pytest
from PIL import Image

from common.specs import OUTPUT_SPEC
from worker.media.cropping import kept_size
from worker.media.engine import RenderJob, Watch

_FRAME = {"width": 320, "height": 240}


def _with_clap(movie: bytes, *edges: int) -> bytes:
    """Put a clean aperture (ISO/IEC 14496-12, 12.1.4) into the first sample entry.

    ``edges`` are the pixels cut off left, right, top and bottom.
    """
    left, right, top, bottom = edges
    sides = (320 - left - right, 1, 240 - top - bottom, 1)
    clap = struct.pack(
        ">I4s4I4i", 40, b"clap", *sides, left - right, 2, top - bottom, 2
    )
    entry = movie.index(b"avc1", movie.index(b"stsd"))
    data = bytearray(movie)
    place = entry - 4 + struct.unpack(">I", data[entry - 4 : entry])[0]
    at = entry
    for name in (b"avc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        at = data.rindex(name, 0, at + 4)
        size = struct.unpack(">I", data[at - 4 : at])[0]
        data[at - 4 : at] = struct.pack(">I", size + len(clap))
    data[place:place] = clap
    return bytes(data)


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
    video = engine.probe(cropped[suffix]).video

    assert (video.width, video.height) == (240, 200)
    assert (video.coded_width, video.coded_height) == (320, 240)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("kind", ["thumbnail", "animation", "storyboard", "preview"])
def test_given_cropping_when_rendered_then_the_rest_alone_is_shown(
    engine, cropped, workdir, suffix, kind
):
    clip = cropped[suffix]
    job = RenderJob(
        OUTPUT_SPEC.validate_python({"kind": kind}), engine.probe(clip), clip, workdir
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
