"""Kill every part under load: each accepted job ends, once, and nothing is left.

The short form has 40 jobs in flight, ``./dev chaos`` (CHAOS=full) has 200.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import imageio_ffmpeg
import pytest

from tests.chaos.service import Service, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]
JOBS = 200 if os.environ.get("CHAOS") == "full" else 40
GIF = {"kind": "animation", "format": "gif", "duration": 0.5, "start": 0}
ENDED = {"completed", "partial", "failed", "cancelled"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    make = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi"]
    make += ["-i", "testsrc2=s=320x180:r=25:d=1", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(make, check=True, timeout=60)
    return path


def statuses(service, ids):
    store = service.store
    return Counter(store.hget(f"fm:job:{one}", "status") for one in ids)


def test_every_accepted_job_ends_once_whatever_is_killed(tmp_path, clip):
    # Every seventh job's API process dies between record and message.
    failing = {"api": "tests.chaos.failpoint:app", "CHAOS_FAILPOINT": "7"}
    with Service(tmp_path, **failing) as service:
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(lambda _: service.submit(clip, [GIF]), range(JOBS)))

        def ended(share):
            service.restart_all()
            found = statuses(service, ids)
            return sum(found[one] for one in ENDED) >= JOBS * share

        assert len(set(ids)) == JOBS
        until(lambda: ended(0.2), 300, "a fifth of the jobs has ended")
        service.restart("worker")

        until(lambda: ended(0.4), 300, "two fifths of the jobs have ended")
        os.kill(until(service.pool_children, 120, "a pool")[0], signal.SIGKILL)

        until(lambda: ended(0.6), 300, "three fifths of the jobs have ended")
        service.broker.flushall()

        until(lambda: ended(1), 400, "all jobs have ended")
        found = statuses(service, ids)
        until(lambda: not service.orphans(), 20, "no FFmpeg is left")
        attempts = tmp_path / "scratch" / "attempts"
        until(lambda: not list(attempts.iterdir()), 120, "no work folder is left")
        # One of each live process of the worker, with nothing in it but its lock. The
        # main process shares memory with its pool by a folder.
        owned = list((tmp_path / "scratch" / "processes").iterdir())
        assert len(owned) <= 1 + len(service.pool_children())
        names = Counter(one.name[:5] for folder in owned for one in folder.iterdir())
        assert names == {".lock": len(owned), "pymp-": 1}

        assert found == {"completed": JOBS}
        for one in ids:
            events = service.store.xrange(f"fm:events:{one}")
            kinds = Counter(event["type"] for _, event in events)
            assert kinds["output.succeeded"] == 1, (one, kinds)
            assert kinds["job.completed"] == 1, (one, kinds)
            (output,) = service.get(f"/v1/jobs/{one}")["outputs"]
            (artifact,) = output["artifacts"]
            published = list((tmp_path / "blobs").rglob(f"*{one}/animation/*/*.gif"))
            sizes = {path.stat().st_size for path in published}
            assert artifact["bytes"] in sizes, (artifact, published)
