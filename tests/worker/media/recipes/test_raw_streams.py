"""A stated time is that of the frame, in streams whose packets hold no times."""

from __future__ import annotations

from fractions import Fraction

import pytest
from PIL import Image

from common.outputs.specs import OUTPUT_SPEC
from tests.acceptance import marks
from tests.acceptance.films import make
from tests.acceptance.films.recipes import AV1, H264, MPEG2, MPEG4, groups, hevc, of
from worker.media import warning_codes
from worker.media.engine import RenderJob, Watch
from worker.media.source_file import LocalFile

_MPEG1 = ("-c:v", "mpeg1video", *MPEG2[2:])
_TIMED = ("-bsf:v", "av1_metadata=tick_rate=50:num_ticks_per_picture=1")
_FAST = Fraction(50)
_FILMS = [
    of("raw", "h264", "raw H.264", 8, video=(*H264, "-bf", "3", *groups(50))),
    of("raw", "hevc", "raw HEVC", 6, video=hevc(keyint=50, bframes=4)),
    of("raw", "m2v", "raw MPEG-2", 8, video=MPEG2),
    of("raw", "m1v", "raw MPEG-1", 8, video=_MPEG1),
    of("raw", "bin", "raw MPEG-4", 8, video=MPEG4, mux=("-f", "m4v")),
    of("fast", "h264", "raw H.264 at 50 fps", 5, fps=_FAST),
    of("slow", "h264", "raw H.264 at 10 fps", 8, fps=Fraction(10)),
    of("fast", "hevc", "raw HEVC at 50 fps", 5, fps=_FAST, video=hevc(bframes=4)),
    of("fast", "obu", "raw AV1 at 50 fps", 4, fps=_FAST, video=AV1, mux=_TIMED),
]
_UNRATED = of("unrated", "obu", "raw AV1 without a rate", 4, video=AV1)


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

    done = engine.render(
        RenderJob(spec, engine.probe(LocalFile(path)), LocalFile(path), workdir),
        Watch(),
    )

    shown = []
    for one in done.files:
        with Image.open(one.path) as picture:
            shown.append((one.time, marks.read(picture).number / film.fps))
    assert shown
    assert [one for one in shown if abs(one[0] - one[1]) > 0.6 / film.fps] == []


@pytest.mark.parametrize("film", _FILMS, ids=lambda film: film.file)
def test_given_a_raw_stream_that_states_its_rate_then_its_length_follows(engine, film):
    media = engine.probe(LocalFile(make.film(film)))

    assert media.video.fps == pytest.approx(float(film.fps))
    assert media.duration == pytest.approx(film.drawn / film.fps, abs=1.01 / film.fps)
    assert warning_codes.FPS_GUESSED not in media.warnings


def test_given_a_raw_stream_without_a_rate_then_a_warning_states_the_guess(engine):
    media = engine.probe(LocalFile(make.film(_UNRATED)))

    assert media.video.fps == 25
    assert warning_codes.FPS_GUESSED in media.warnings
