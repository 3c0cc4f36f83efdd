"""Settings, an engine, and clips of our own made by FFmpeg's generators."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.settings.load import Settings
from tests.tools import lack
from worker.media.engine import Engine
from worker.media.ffmpeg import binary
from worker.media.sandbox import reads

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings()


@pytest.fixture(scope="session")
def engine(settings: Settings) -> Engine:
    return Engine(settings)


@pytest.fixture
def kernel_that_reports() -> None:
    """Reads can be made to wait here: some sandboxes of containers refuse it."""
    if reason := reads.refusal():
        lack(f"this kernel reports no reads ({reason})")


@pytest.fixture(scope="session")
def ffmpeg(settings: Settings) -> str:
    return binary.path(settings)


@pytest.fixture(scope="session")
def make(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a clip once: a name, FFmpeg's words for its input and its output."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[str, tuple[Any, ...]] = {}

    def _make(name: str, source: str, *words: str, copy: Path | None = None) -> Path:
        path = folder / name
        requested = (source, words, copy)
        assert made.setdefault(name, requested) == requested, (
            f"{name} is another clip already"
        )
        if not path.exists():
            given = ["-i", str(copy)] if copy else ["-f", "lavfi", "-i", source]
            argv = [ffmpeg, "-v", "error", "-nostdin", *given, *words, str(path)]
            subprocess.run(argv, check=True, timeout=60)
        return path

    return _make


@pytest.fixture(scope="session")
def film(make: Make) -> Path:
    """Six seconds, 320x180, 25 fps, one keyframe in two seconds."""
    source = "testsrc2=s=320x180:r=25:d=6"
    return make("film.mp4", source, "-g", "50", "-pix_fmt", "yuv420p")


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder
