"""What recipes tell of their files is what the reference lists."""

from __future__ import annotations

import re

import pytest

from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from tests.conftest import ROOT
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.source_file import LocalFile

PAGE = (ROOT / "docs" / "reference" / "artifacts.md").read_text(encoding="utf-8")
LISTED = set(re.findall(r"`(\w+)`", PAGE.split("in alphabetical order:")[1]))
SPECS = [
    {"kind": "thumbnail"},
    {"kind": "thumbnail", "crop": [0, 0, "50%", "50%"]},
    {"kind": "animation", "duration": 1, "max_bytes": 200_000},
    {"kind": "preview", "format": "mp4", "max_bytes": 200_000},
    {"kind": "storyboard", "interval": 2, "trickplay": ["bif", "jellyfin", "dash"]},
    {"kind": "contact_sheet", "columns": 2, "rows": 2},
    {"kind": "snippets", "window": 5, "format": "mp4"},
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_given_a_kind_when_it_is_made_then_its_details_are_documented(
    sample, tmp_path, spec
):
    engine = Engine(Settings())
    wanted = OUTPUT_SPEC.validate_python(spec)

    done = engine.render(
        RenderJob(wanted, engine.probe(LocalFile(sample)), LocalFile(sample), tmp_path),
        Watch(),
    )

    found = {key for file in done.files for key in file.details}
    assert found
    assert found <= LISTED
