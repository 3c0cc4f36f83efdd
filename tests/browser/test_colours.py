"""White is white and grey is grey in every format, as Chromium shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from tests import slides
from tests.browser.viewer import Viewer
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.source_file import LocalFile

STILL: dict[str, Any] = {"kind": "thumbnail", "time": 0.5}
MOVING: dict[str, Any] = {"kind": "animation", "start": 0, "duration": 0.6, "fps": 5.0}
SPECS = [
    *(STILL | {"format": form} for form in ("jpeg", "png", "webp", "avif")),
    *(STILL | {"format": form, "width": 301} for form in ("jpeg", "png", "avif")),
    *(MOVING | {"format": form} for form in ("gif", "webp", "avif", "mp4", "webm")),
    {"kind": "storyboard", "interval": 0.5, "width": 160},
    {"kind": "preview", "segments": 2, "segment_duration": 0.3, "format": "mp4"},
]
WHITE, GREY = (255, 255, 255), (128, 128, 128)
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def viewer(browser: Browser) -> Iterator[Viewer]:
    viewing = Viewer(browser)
    yield viewing
    viewing.page.close()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {kind: slides.film(folder, kind) for kind in slides.KINDS}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Settings())


def _named(spec: dict[str, Any]) -> str:
    return "-".join(str(spec.get(key, "")) for key in ("kind", "format", "width"))


@pytest.mark.parametrize("spec", SPECS, ids=_named)
@pytest.mark.parametrize("kind", slides.KINDS)
def test_given_white_or_grey_when_shown_then_it_is_exact(
    viewer: Viewer,
    films: dict[str, Path],
    engine: Engine,
    tmp_path: Path,
    kind: str,
    spec: dict[str, Any],
) -> None:
    job = RenderJob(
        OUTPUT_SPEC.validate_python(spec),
        engine.probe(LocalFile(films[kind])),
        LocalFile(films[kind]),
        tmp_path,
    )

    shown = viewer.show(engine.render(job, Watch()).files[0].path)

    if kind == "slide":
        # Some pixels near the letters are neither.
        assert shown.share(WHITE) > 0.7
        assert shown.share(GREY, slack=1) > 0.015
    else:
        colour, slack = (WHITE, 0) if kind == "white" else (GREY, 1)
        assert shown.share(colour, slack) == 1
