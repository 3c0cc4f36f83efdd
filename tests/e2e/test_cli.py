"""The command line as a process of its own, as people and scripts run it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.chaos.service import ROOT, Service
from tests.conftest import SAMPLE
from tests.ports import free_port

OUTPUTS = json.dumps([{"kind": "thumbnail"}, {"kind": "storyboard"}])
SECONDS = 120


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("cli")
    with Service(folder, FRAMEMILL_API_AUTH="true") as running:
        (folder / "key").write_text(running.command("keys", "create", "people"))
        yield running


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "api.cli", "submit", *map(str, words)]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def with_key(service: Service, *words: str | Path) -> list[str | Path]:
    return [*words, "--server", service.url, "--key-file", service.folder / "key"]


def test_a_file_becomes_pictures_in_a_folder(service: Service, tmp_path: Path) -> None:
    done = run(
        *with_key(service, SAMPLE, "--outputs", OUTPUTS, "--wait", "-o", tmp_path)
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"completed {service.url}/v1/jobs/")
    with Image.open(tmp_path / "thumbnail" / "thumbnail.jpg") as picture:
        assert picture.size == (640, 360)
    board = tmp_path / "storyboard"
    (sheet, *_) = re.findall(r"^(\S+)#xywh", (board / "storyboard.vtt").read_text(), 8)
    assert (board / sheet).is_file(), "the index leads to the sheet beside it"


@contextmanager
def at_terminal(*words: str | Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run it with a terminal for its errors; gives that terminal too."""
    ours, its = pty.openpty()
    try:
        with subprocess.Popen(
            command(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=its, text=True
        ) as process:
            os.close(its)
            yield process, ours
    finally:
        os.close(ours)


def read_until(terminal: int, word: bytes) -> bytes:
    """Read a terminal until it shows a word, or nobody writes to it any more."""
    shown = b""
    while word not in shown and (chunk := _read(terminal)):
        shown += chunk
    return shown


def test_a_terminal_shows_a_bar_for_the_upload_and_one_for_the_work(
    service: Service,
) -> None:
    words = with_key(service, SAMPLE, "--outputs", OUTPUTS, "--wait")
    with at_terminal(*words) as (process, terminal):
        shown = read_until(terminal, b"never")
        assert process.wait(SECONDS) == 0, shown

    bars = re.findall(rb"(upload|work) +\[[#.]{30}\] +(\d+)%", shown)
    assert (b"upload", b"100") in bars
    assert (b"work", b"100") in bars


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux: nobody has the other end open any more
        return b""


def test_a_pipe_gets_no_bar(service: Service) -> None:
    done = run(*with_key(service, SAMPLE, "--json"))

    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["status"] in {"accepted", "processing", "completed"}


def test_a_file_that_is_no_video_is_code_1(service: Service, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video " * 1000)

    done = run(*with_key(service, tmp_path / "bad.mp4", "--wait"))

    assert done.returncode == 1
    assert "unsupported_format" in done.stdout


def test_a_file_that_is_not_there_is_code_2(service: Service, tmp_path: Path) -> None:
    done = run(*with_key(service, tmp_path / "none.mp4"))

    assert done.returncode == 2
    assert done.stderr == f"{tmp_path}/none.mp4: No such file or directory\n"


@pytest.mark.parametrize("key", ["wrong", "fm_" + "x" * 43])
def test_a_key_that_is_none_is_code_4(
    service: Service, key: str, tmp_path: Path
) -> None:
    # Large enough for the refusal to come while it is being sent.
    (tmp_path / "large.mp4").write_bytes(bytes(30_000_000))

    done = run(tmp_path / "large.mp4", "--server", service.url, "--key", key)

    assert done.returncode == 4
    assert done.stderr.startswith("refused: this API key is unknown or was revoked"), (
        done.stderr
    )


def test_a_refusal_says_what_to_do(service: Service) -> None:
    done = run(SAMPLE, "--server", service.url)

    assert done.returncode == 4
    assert "no API key (send Authorization: Bearer KEY" in done.stderr


def test_a_server_that_is_not_there_is_code_4() -> None:
    port = free_port()

    done = run(SAMPLE, "--server", f"http://127.0.0.1:{port}", "--wait")

    assert done.returncode == 4
    assert f"127.0.0.1:{port} did not answer" in done.stderr


def test_ctrl_c_ends_the_wait_and_tells_where_the_job_is(service: Service) -> None:
    with (
        service.stopped("worker"),
        at_terminal(*with_key(service, SAMPLE, "--wait")) as (process, terminal),
    ):
        shown = read_until(terminal, b"work ")
        process.send_signal(signal.SIGINT)
        told = read_until(terminal, b"interrupted").decode()
        assert process.wait(60) == 130, shown + told.encode()

    assert re.search(rf"job \w+ goes on: {service.url}/v1/jobs/\w+\s+interrupted", told)
    assert "Traceback" not in told


def test_a_wait_outlives_an_api_that_is_killed(service: Service) -> None:
    words = with_key(service, SAMPLE, "--outputs", OUTPUTS, "--wait")
    with at_terminal(*words) as (process, terminal):
        with service.stopped("worker"):
            read_until(terminal, b"work ")
            service.restart("api")
        shown = read_until(terminal, b"100%")
        said, _ = process.communicate(timeout=SECONDS)

    assert process.returncode == 0, shown
    assert said.startswith("completed ")
