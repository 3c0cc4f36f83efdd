"""A stated time is that of the frame, in streams whose packets hold no times."""

from __future__ import annotations

import pytest
from PIL import Image

from common.outputs.specs import OUTPUT_SPEC
from tests.acceptance import marks
from tests.acceptance.films import make
from tests.acceptance.films.recipes import H264, MPEG2, MPEG4, groups, hevc, of
from worker.media.engine import RenderJob, Watch

_RATE = 25
_MPEG1 = ("-c:v", "mpeg1video", *MPEG2[2:])
_FILMS = [
    of("raw", "h264", "raw H.264", 8, video=(*H264, "-bf", "3", *groups(50))),
    of("raw", "hevc", "raw HEVC", 6, video=hevc(keyint=50, bframes=4)),
    of("raw", "m2v", "raw MPEG-2", 8, video=MPEG2),
    of("raw", "m1v", "raw MPEG-1", 8, video=_MPEG1),
    of("raw", "bin", "raw MPEG-4", 8, video=MPEG4, mux=("-f", "m4v")),
]


@pytest.mark.parametrize("film", _FILMS, ids=lambda film: film.file)
@pytest.mark.parametrize(
    "requested",
    [
        {"kind": "thumbnail", "policy": "auto"},
        {"kind": "thumbnail", "policy": "auto", "count": 4},
        {"kind": "thumbnail", "policy": "auto", "times": [1.5, 3.1]},
        {"kind": "thumbnail", "policy": "exact", "times": [1.5, 3.1]},
    ],
    ids=["best", "four", "near", "exact"],
)
def test_given_a_raw_stream_when_a_still_is_made_then_its_time_is_the_frames(
    engine, workdir, film, requested
):
    path = make.film(film)
    spec = OUTPUT_SPEC.validate_python({"format": "png", **requested})

    done = engine.render(RenderJob(spec, engine.probe(path), path, workdir), Watch())

    shown = []
    for one in done.files:
        with Image.open(one.path) as picture:
            shown.append((one.time, marks.read(picture).number / _RATE))
    assert shown
    assert [one for one in shown if abs(one[0] - one[1]) > 0.6 / _RATE] == []
