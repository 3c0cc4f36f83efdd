"""What every test stands on: no setting of the machine's, and a clip of our own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def sample() -> Path:
    """Ten seconds of Big Buck Bunny, 640x360, 30 fps, with sound."""
    return SAMPLE
