"""The health check of containers without a port."""

from __future__ import annotations

import subprocess
import sys

import pytest

from common.jobs.store import JobStore
from tests.common import valkey
from tests.common.jobs.store.context import make_settings
from tests.conftest import ROOT
from tests.ports import free_port
from worker.alive import fault


@pytest.fixture
def store(tmp_path):
    with valkey.running(tmp_path) as (url, _):
        yield JobStore.connect(make_settings("fm:", url))


def test_a_worker_is_alive_while_one_of_its_host_is_heard_of(store):
    store.worker_alive("here:1", {})

    assert fault(store, "worker", "here", 30) is None
    assert "no worker of there" in fault(store, "worker", "there", 30)
    # A host name that only begins alike is another host.
    assert fault(store, "worker", "her", 30) is not None


def test_the_reaper_is_alive_once_it_swept(store):
    assert fault(store, "reaper", "here", 30) == "no reaper was heard of"

    store.reap()

    assert fault(store, "reaper", "here", 30) is None
    assert "last heard of" in fault(store, "reaper", "here", -1)


def check(url, *words):
    return subprocess.run(
        [sys.executable, "-m", "worker.alive", *words],
        cwd=ROOT,
        env={"FRAMEMILL_STORE_URL": url},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_ends_with_the_reason(tmp_path):
    with valkey.running(tmp_path) as (url, _):
        done = check(url, "reaper")

    assert done.returncode == 1
    assert "no reaper was heard of" in done.stderr


def test_while_the_store_is_away_nothing_is_known_and_nothing_is_restarted():
    assert check(f"redis://127.0.0.1:{free_port()}/0", "worker").returncode == 0


def test_another_role_is_refused():
    assert check("redis://127.0.0.1:1/0", "api").returncode == 2
