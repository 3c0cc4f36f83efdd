"""In a view of their own, programs make every kind of output, also with holes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from common.outputs.specs import OutputSpec
from common.settings.load import Settings
from common.settings.sections import Engine as EngineSettings
from tests.tools import lack
from tests.worker.media.holes import HoledFile
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.sandbox import layers
from worker.media.source_file import LocalFile, SourceFile

MODE = "namespaces"
SPECS = {
    "still": {"kind": "thumbnail", "time": "50%", "width": 160},
    "chosen still": {"kind": "thumbnail", "policy": "auto", "width": 160},
    "gif": {"kind": "animation", "format": "gif", "width": 120, "optimize": True},
    "webp": {"kind": "animation", "format": "webp", "width": 120},
    "preview": {"kind": "preview", "format": "mp4", "width": 120},
    "storyboard": {"kind": "storyboard", "width": 120},
    "sheet with texts": {"kind": "contact_sheet"},
    "snippets": {"kind": "snippets"},
}


@pytest.fixture(scope="module")
def confined() -> Engine:
    if faults := layers.lacking(MODE):
        lack(f"this host has not all layers: {faults}")
    return Engine(Settings(engine=EngineSettings(sandbox=MODE)))


def _render(engine: Engine, name: str, source: SourceFile, folder: Path):
    spec = TypeAdapter(OutputSpec).validate_python(SPECS[name])
    media = engine.probe(source)
    return engine.render(RenderJob(spec, media, source, folder), Watch())


@pytest.mark.needs("gifsicle")
@pytest.mark.parametrize("name", SPECS)
def test_each_kind_of_output_is_made_as_in_the_usual_view(
    confined, engine, name, film, workdir, tmp_path
):
    usual = tmp_path / "usual"
    usual.mkdir()

    made = _render(confined, name, LocalFile(film), workdir)
    expected = _render(engine, name, LocalFile(film), usual)

    assert made.warnings == expected.warnings
    assert [one.path.read_bytes() for one in made.files] == [
        one.path.read_bytes() for one in expected.files
    ]


@pytest.mark.usefixtures("kernel_that_reports")
def test_what_is_missing_of_a_source_is_fetched(confined, film, workdir, tmp_path):
    holed = HoledFile(film, tmp_path / "holed")

    made = _render(confined, "still", holed, workdir)

    assert made.files[0].path.stat().st_size
    assert holed.bytes > 0
