"""What every test stands on: no setting of the machine's, and a clip of our own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from botocore import session
from hypothesis import HealthCheck, settings

from tests.tools import need

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
OTHERS = ("FRAMEMILL_", "REDIS_URL", "AWS_", "CELERY_", "FLASK_", "GUNICORN_", "OTEL_")
CASES = ROOT / "tests" / "cases"
SAMPLE = ROOT / "deploy" / "allinone" / "sample.mp4"

# A submission must not fail by a case that chance found, nor by a busy machine: each
# run draws the same cases. ``--hypothesis-profile random`` looks for new ones.
for name, same in {"same": True, "random": False}.items():
    settings.register_profile(
        name,
        derandomize=same,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("same")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for the programs that a test is marked to need."""
    for marker in item.iter_markers("needs"):
        need(*marker.args)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Run Chromium, one for all tests of a process."""
    need("chromium")
    from tests import chromium

    with chromium.running() as running:
        yield running


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_the_machine() -> Iterator[None]:
    """Take away what a developer's shell may have set, also for other programs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(OTHERS) or name.lower().endswith("_proxy"):
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


@pytest.fixture(autouse=True, scope="session")
def models_of_aws_read_once() -> Iterator[None]:
    """Let boto3's clients share what they read of AWS's models, 75 ms of CPU each."""
    with pytest.MonkeyPatch.context() as patch:
        shared = cache(session.create_loader)
        patch.setattr(session, "create_loader", shared)
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
