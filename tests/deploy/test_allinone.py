"""The supervisor: what it says, and that nothing outlives it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.common import valkey
from tests.conftest import SAMPLE
from tests.e2e.allinone import processes_of, running, start
from tests.ports import free_port

PARTS = {"broker", "store", "s3", "api", "worker", "reaper", "flower"}


def none_left(data):
    """Return what is left once nothing more ends; the system reaps in its own time."""
    deadline = time.monotonic() + 20
    while left := processes_of(data):
        if time.monotonic() > deadline:
            return left
        time.sleep(0.05)
    return {}


def test_ctrl_c_ends_every_part_and_a_second_run_works(tmp_path):
    with running(tmp_path, "--port", str(free_port())) as first:
        assert set(first.state["children"]) == PARTS
        assert len(processes_of(tmp_path)) > len(PARTS)

        assert first.end(signal.SIGINT) == 0
        assert none_left(tmp_path) == {}

    with running(tmp_path) as second:
        assert second.url == first.url, "last time's ports are kept"


def test_every_part_dies_with_a_killed_supervisor(tmp_path):
    with running(tmp_path) as one:
        one.process.kill()
        one.process.wait()

        assert none_left(tmp_path) == {}


def pid_of(one, name):
    return json.loads((one.data / "state.json").read_text())["children"][name]


def await_another(one, name, pid):
    """Return the new process of a part that was killed."""
    deadline = time.monotonic() + 60
    while (new := pid_of(one, name)) == pid:
        assert one.process.poll() is None, one.process.stdout.read()
        assert time.monotonic() < deadline, f"{name} was not started again"
        time.sleep(0.05)
    return new


def test_parts_that_die_are_started_again_and_said_so(tmp_path):
    with running(tmp_path) as one:
        killed = {}
        for name in ("worker", "api", "store", "reaper"):
            killed[name] = pid_of(one, name)
            os.kill(killed[name], signal.SIGKILL)
            await_another(one, name, killed[name])

        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                job = one.upload(SAMPLE, [{"kind": "thumbnail"}])
                break
            assert time.monotonic() < deadline, "the API does not serve again"
            time.sleep(0.1)
        one.end()
        said = one.process.stdout.read()

    assert job["status"] == "completed", job
    for name in killed:
        assert f"{name} ended (signal SIGKILL): it is started again in 0.5 s" in said
        assert f"{name} was started again" in said
    assert none_left(tmp_path) == {}


def test_a_part_that_dies_again_and_again_ends_the_rest_by_name(tmp_path):
    with running(tmp_path) as one:
        pid = pid_of(one, "reaper")
        for _ in range(5):
            os.kill(pid, signal.SIGKILL)
            pid = await_another(one, "reaper", pid)
        os.kill(pid, signal.SIGKILL)

        said, _ = one.process.communicate(timeout=200)

    assert one.process.returncode == 1
    pauses = re.findall(r"started again in ([\d.]+) s", said)
    assert pauses == ["0.5", "1", "2", "4", "8"]
    assert "reaper died 6 times in a row, and is given up" in said
    assert none_left(tmp_path) == {}


def test_a_port_that_is_taken_is_refused_by_name(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = start(tmp_path, "up", "--port", str(port))
        said, _ = process.communicate(timeout=200)

    assert process.returncode == 1
    assert f"port {port}" in said
    assert none_left(tmp_path) == {}


def test_its_texts_name_the_port_in_use_a_ready_request_and_its_own_folder(tmp_path):
    clip = tmp_path / "my clip.mp4"
    shutil.copy(SAMPLE, clip)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        (tmp_path / "ports.json").write_text(json.dumps({"api": taken}))
        with running(tmp_path) as one:
            said = []
            while not said or not said[-1].startswith("  curl "):
                said.append(one.process.stdout.readline())
                assert said[-1], said
            second = start(tmp_path, "demo", str(clip))
            told, _ = second.communicate(timeout=60)
            done = subprocess.run(
                ["/bin/sh", "-c", f"{said[-1].strip()} --silent --fail"],
                check=False,
                capture_output=True,
                text=True,
            )

    port = one.url.rpartition(":")[2]
    assert f"Port {taken} is taken: the API uses {port}.\n" in said
    addresses = [line for line in said if "http://" in line]
    assert addresses[0] == f"  page       {one.url}/  (drop a video there)\n"
    assert ".data/" not in "".join(said)
    assert f"  logs       {tmp_path / 'logs'}\n" in said
    assert json.loads(done.stdout)["status"] in {"accepted", "processing", "completed"}
    assert second.returncode == 1
    assert told.endswith(
        f"another ./dev runs on {tmp_path}, at {one.url}; it makes pictures by: "
        f"./framemill submit '{clip}' -o results --data {tmp_path}\n"
    )


def test_given_servers_replace_the_embedded_ones_and_demo_exits(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    with valkey.running(folder) as (url, _):
        process = start(
            tmp_path / "data",
            "demo",
            str(SAMPLE),
            REDIS_URL=url,
            FRAMEMILL_BLOBS_BACKEND="local",
        )
        said, _ = process.communicate(timeout=200)

    logs = {path.stem for path in Path(tmp_path / "data" / "logs").iterdir()}
    assert process.returncode == 0, said
    assert "sample.mp4: completed" in said
    assert logs == PARTS - {"broker", "store", "s3"}


def test_demo_fails_when_a_job_does_not_complete(tmp_path):
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"no video " * 100)

    process = start(tmp_path / "data", "demo", str(junk))
    said, _ = process.communicate(timeout=200)

    assert process.returncode == 1
    assert "junk.mp4: failed" in said


@pytest.mark.parametrize("port", ["0", "80000", "-1", "http"])
def test_a_port_that_cannot_be_is_refused_with_the_range(tmp_path, port):
    process = start(tmp_path / "data", "up", f"--port={port}")
    said, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert said.endswith(
        f"argument --port: {port!r} is not a port: write a whole number from 1 to "
        "65535\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("KEYS", '[{"id": "a"}]', "\n  FRAMEMILL_API_KEYS: key 1: 'name' is missing\n"),
        ("SECRET", "short", "dev: FRAMEMILL_API_SECRET is too short: "),
    ],
)
def test_what_the_api_refuses_is_told_before_a_part_starts(
    tmp_path, name, value, expected
):
    process = start(tmp_path / "data", "up", **{f"FRAMEMILL_API_{name}": value})
    said, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert said.count(expected) == 1
    assert "Traceback" not in said
    assert not (tmp_path / "data").exists()
