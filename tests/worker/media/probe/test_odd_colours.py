"""A colour description that is unset, reserved or contradictory fails no job."""

from __future__ import annotations

import subprocess

import pytest

from common.outputs.specs import OUTPUT_SPEC
from worker.media.engine import RenderJob, Watch
from worker.media.source_file import LocalFile

PQ, HLG = 16, 18
# Numbers of ITU-T H.273: 2 is unspecified, 8 YCgCo, 10 BT.2020 in constant luminance,
# 14 ICtCp; 22 is EBU 3213-E and 23 reserved.
HDR = [
    {"transfer_characteristics": PQ},
    {"transfer_characteristics": HLG},
    {"transfer_characteristics": PQ, "colour_primaries": 22},
    {"transfer_characteristics": PQ, "matrix_coefficients": 1},
    {"transfer_characteristics": PQ, "matrix_coefficients": 8},
    {"transfer_characteristics": HLG, "matrix_coefficients": 10},
    {"transfer_characteristics": PQ, "matrix_coefficients": 14},
]
SDR = [
    {"matrix_coefficients": 0},
    {"matrix_coefficients": 8},
    {"matrix_coefficients": 14},
    {"transfer_characteristics": 19},
    {"colour_primaries": 23},
    {"colour_primaries": 9, "matrix_coefficients": 1, "video_full_range_flag": 1},
]


@pytest.fixture
def done(request, engine, make, ffmpeg, workdir, tmp_path):
    """Render a clip with the colour description of the parameter."""
    film = make("plain.mp4", "testsrc2=s=320x180:r=25:d=0.4", "-pix_fmt", "yuv420p")
    clip = tmp_path / "odd.mp4"
    words = ":".join(f"{name}={value}" for name, value in request.param.items())
    argv = [ffmpeg, "-v", "error", "-i", film, "-c", "copy"]
    argv += ["-bsf:v", f"h264_metadata={words}", clip]
    subprocess.run(argv, check=True, timeout=60)
    spec = OUTPUT_SPEC.validate_python({"kind": "thumbnail", "time": 0.2})
    return engine.render(
        RenderJob(spec, engine.probe(LocalFile(clip)), LocalFile(clip), workdir),
        Watch(),
    )


@pytest.mark.parametrize("done", HDR, indirect=True)
def test_given_hdr_with_odd_colours_when_rendered_then_it_is_tone_mapped_at_once(done):
    assert [report.rung for report in done.reports] == ["exact"]
    assert done.warnings == ["tone_mapped"]


@pytest.mark.parametrize("done", SDR, indirect=True)
def test_given_odd_colours_when_rendered_then_a_picture_comes(done):
    assert (done.files[0].width, done.files[0].height) == (320, 180)
    assert set(done.warnings) <= {"colour_guessed"}
