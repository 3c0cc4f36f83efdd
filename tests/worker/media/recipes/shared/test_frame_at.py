"""The frame at a time, and the time that is stated for it, are of one frame."""

from __future__ import annotations

import pytest
from PIL import Image

from common.outputs.specs import OUTPUT_SPEC
from tests.acceptance import marks
from tests.acceptance.films import make
from tests.acceptance.films.catalogue import FILM
from tests.acceptance.films.recipes import of
from worker.media.engine import RenderJob, Watch
from worker.media.source_file import LocalFile

# Frame 120 begins at 5.005 s, frame 93 at 3.879 s: Matroska counts milliseconds.
_TIMES = [3.8784, 3.8785, 3.8788, 5.0044, 5.0045, 5.0046]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_given_a_time_between_two_milliseconds_then_picture_and_time_agree(
    engine, workdir, suffix
):
    path = make.film(of("cinema", suffix, "23.976 fps with B-frames", 10, fps=FILM))
    requested = {
        "kind": "thumbnail",
        "policy": "exact",
        "times": _TIMES,
        "format": "png",
    }
    spec = OUTPUT_SPEC.validate_python(requested)

    done = engine.render(
        RenderJob(spec, engine.probe(LocalFile(path)), LocalFile(path), workdir),
        Watch(),
    )

    assert len(done.files) == len(_TIMES)
    for one in done.files:
        with Image.open(one.path) as picture:
            shown = marks.read(picture).number / float(FILM)
        assert abs(one.time - shown) < 0.6 / float(FILM)
