"""The processes of the service, each started by itself to see that it refuses to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

_SOLO = ["-A", "worker.app", "worker", "-Q", "fast", "-P", "solo"]
PARTS = {
    "api": ["-c", "import api.wsgi"],
    "worker": [
        "-m",
        "celery",
        "-A",
        "worker.app",
        "worker",
        "-Q",
        "fast",
        "-P",
        "solo",
    ],
    "reaper": ["-m", "worker.maintenance"],
}
each_part = pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)


def refusal(part: list[str], folder: Path, **servers: str) -> str:
    """Start a part on these servers (settings by name); return why it ended at once."""
    ended = subprocess.run(
        [sys.executable, *part],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "FRAMEMILL_BLOBS_PATH": f"{folder}/blobs",
            "FRAMEMILL_WORKER_SCRATCH": f"{folder}/scratch",
            "FRAMEMILL_API_SECRET": "s" * 32,
            **servers,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode != 0
    return ended.stdout + ended.stderr
