"""What every test stands on: no setting of the machine's, and a clip of our own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "deploy" / "allinone" / "sample.mp4"


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_the_machine() -> Iterator[None]:
    """Take away what a developer's shell may have set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("FRAMEMILL_") or name == "REDIS_URL":
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def loggers_that_can_be_set_up_again() -> Iterator[None]:
    """Keep a logger from remembering the set-up of the first test that used it."""
    configure = structlog.configure

    def without_cache(**options: Any) -> None:
        configure(**options | {"cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", without_cache)
        yield


@pytest.fixture(autouse=True)
def logs_as_they_come() -> Iterator[None]:
    """Undo what a test, or an entry point that it imported, did to the logs."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture
def sample() -> Path:
    """Ten seconds of Big Buck Bunny, 640x360, 30 fps, with sound."""
    return SAMPLE
