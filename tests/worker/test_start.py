"""What a worker finds out before it forks its pool."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT

_FORK = """
import os
import imageio_ffmpeg
import worker.app
from worker.media.ffmpeg import binary

worker.app._check_before_work()
# As if the kernel killed the trial run of FFmpeg, which the wheel makes when asked.
imageio_ffmpeg._utils._is_valid_exe = lambda *_: False
imageio_ffmpeg._utils._get_ffmpeg_exe.cache_clear()
if (child := os.fork()) == 0:
    print(binary.path(worker.app.SETTINGS), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_pool_process_knows_ffmpeg_from_the_process_that_forked_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _FORK],
        cwd=ROOT,
        env={**os.environ, "FRAMEMILL_WORKER_SCRATCH": str(tmp_path / "scratch")},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )

    last = done.stdout.splitlines()[-1]
    assert os.access(last, os.X_OK), done.stderr
