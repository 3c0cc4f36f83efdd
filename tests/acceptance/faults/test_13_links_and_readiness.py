"""Line 13: links lead somewhere, types are told, readiness names what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.acceptance.service import Service
from tests.conftest import SAMPLE

Start = Callable[..., AbstractContextManager[Service]]


def test_mail_without_a_public_address_is_refused_at_the_start(
    tree: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.allinone", "--data", str(tmp_path), "up"],
        cwd=tree,
        env=os.environ | {"FRAMEMILL_SMTP_HOST": "127.0.0.1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode == 1
    assert "FRAMEMILL_API_PUBLIC_URL" in done.stderr


def test_the_link_to_the_source_says_what_type_it_is(service: Service) -> None:
    job = service.submit(SAMPLE, [{"kind": "thumbnail", "policy": "keyframe"}])

    media = service.fetch(job["links"]["media"])

    assert media.content_type == "video/mp4"
    assert media.headers["content-disposition"].startswith("attachment")
    assert media.body == SAMPLE.read_bytes()


def test_readyz_is_ok_once_up_and_degraded_without_reaper(
    start_service: Start,
) -> None:
    with start_service(FRAMEMILL_LEASE_SWEEP_SECONDS="1") as service:
        ready = service.ask("/readyz").json()
        assert (ready["status"], ready["reasons"]) == ("ok", [])
        assert ready["workers"] == 1

        reaper = service.state["children"]["reaper"]
        os.kill(reaper, signal.SIGSTOP)
        try:
            reasons = _reasons(service)
        finally:
            os.kill(reaper, signal.SIGCONT)

    assert "the reaper was last seen" in reasons[0]


def _reasons(service: Service) -> list[str]:
    """Return the reasons of /readyz once there are any, within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready = service.ask("/readyz").json()
        if ready["status"] == "degraded":
            reasons: list[str] = ready["reasons"]
            return reasons
        time.sleep(0.5)
    raise AssertionError("the service never noticed that its reaper stands still")
