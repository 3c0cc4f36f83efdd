"""Fault 15: an animated WebP of a slow fade has all of its frames."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from PIL import ImageStat

from tests.acceptance.decode import Frame, decode
from tests.acceptance.service import artifact

FADE = Path(__file__).parents[2] / "cases" / "slow_fade.mp4"
SPECS = [
    {"kind": "animation", "start": 0, "duration": 3.0, "fps": 30.0},
    {"kind": "preview", "segments": 1, "segment_duration": 2.0, "fps": 30.0},
]


def _light(frame: Frame) -> float:
    return ImageStat.Stat(frame.picture.convert("RGB").convert("L")).mean[0]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["kind"])
def test_a_slow_fade_keeps_all_frames(spec, service):
    job = service.submit(FADE, [spec | {"format": "webp"}])

    made = artifact(job, spec["kind"])
    frames = decode(service.fetch(made).body)
    seconds = spec.get("duration") or spec["segment_duration"]
    assert len(frames) == made["frames"] == 30 * seconds
    shown = sum(frame.duration for frame in frames)
    assert shown == pytest.approx(seconds, abs=0.002)
    # Two levels a frame, and never a jump: what is kept of a frame does not add up.
    steps = [_light(b) - _light(a) for a, b in pairwise(frames)]
    assert max(abs(step) for step in steps) < 3.5
