"""What a job's record keeps of a spec can be read, and by earlier versions, too."""

from __future__ import annotations

import json

import pytest

from common.outputs.specs import MODELS, OUTPUT_SPEC, natural_pair, recorded

REQUESTS = [
    *({"kind": kind} for kind in MODELS),
    {"kind": "thumbnail", "width": 64, "time": 1},
    {"kind": "thumbnail", "formats": ["webp", "jpeg"], "widths": [64, 32]},
    {"kind": "animation", "format": "webp", "start": 0, "duration": 3, "name": "a"},
]


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_a_recorded_spec_is_the_same_when_it_is_read(request_):
    spec = OUTPUT_SPEC.validate_json(json.dumps(request_))
    kept = json.loads(json.dumps(recorded(spec)))

    assert OUTPUT_SPEC.validate_json(json.dumps(kept)) == spec


def test_what_nobody_set_is_not_recorded():
    """An earlier version knows no field that came later, and refuses it."""
    assert [recorded(spec) for spec in natural_pair()] == [
        {"kind": "thumbnail", "name": "thumbnail", "format": "jpeg"},
        {"kind": "animation", "name": "animation", "format": "gif"},
    ]
