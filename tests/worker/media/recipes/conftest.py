"""Render a spec of a file through the real engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from worker.media.engine import Engine, Rendered, RenderJob, Watch
from worker.media.source_file import LocalFile


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine(Settings())


Render = Callable[..., Rendered]


@pytest.fixture
def render(engine: Engine, tmp_path: Path) -> Render:
    """Return a function that renders a spec of a file: all its parts, and the join."""

    def go(source: Path, title: str | None = None, **words: object) -> Rendered:
        spec = OUTPUT_SPEC.validate_python(words)
        media = engine.probe(LocalFile(source))
        results, files = [], []
        for place, part in enumerate(engine.split(spec, media)):
            folder = tmp_path / f"part-{place}"
            folder.mkdir()
            job = RenderJob(
                spec, media, LocalFile(source), folder, part=part, title=title
            )
            done = engine.render(job, Watch())
            results.append(done.result)
            files += done.files
        folder = tmp_path / f"whole-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        job = RenderJob(
            spec, media, LocalFile(source), folder, parts=results, title=title
        )
        done = engine.render(job, Watch())
        return Rendered(files + done.files, done.result, done.warnings, done.reports)

    return go
