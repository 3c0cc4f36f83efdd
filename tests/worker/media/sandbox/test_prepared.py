"""One server forks a process for each file; whatever happens to it, the server lives.

Programs that become another one (exec) are in ../ffmpeg/test_process.py.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.errors import InternalError, Interrupted, ResourceLimit, Timeout
from tests.conftest import ROOT
from tests.tools import children_of, lack
from worker.media.ffmpeg import process
from worker.media.ffmpeg.process import Bounds, Main, ProcessResult
from worker.media.sandbox import layers, prepared, server
from worker.media.sandbox.layers import Confinement
from worker.media.sandbox.limits import Limits
from worker.media.source_file import LocalFile

MIB = 1024 * 1024
BOUNDS = Bounds(1024 * MIB, 512 * MIB, 64 * MIB, 100, 100, stdout_bytes=4000)
PROGRAMS = "tests.worker.media.sandbox.programs"
Run = Callable[..., ProcessResult]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def _run(word: str, bounds: Bounds = BOUNDS, **words: Any) -> ProcessResult:
        program = Main(PROGRAMS, [word])
        return process.run(program, cwd=tmp_path, bounds=bounds, **words)

    return _run


@pytest.fixture(params=["auto", "namespaces"])
def bounds(request: pytest.FixtureRequest) -> Bounds:
    """Return the limits under the usual layers, and in a view of its own."""
    if faults := layers.lacking(request.param):
        lack(f"this host has not all layers: {faults}")
    return replace(BOUNDS, layers=layers.chosen(request.param))


@pytest.fixture(autouse=True)
def no_server_is_left() -> Iterator[None]:
    yield
    prepared.stop()
    assert not _servers()


def _facts(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(run("facts").stdout)
    return facts


def _servers(of: int | None = None) -> list[int]:
    """Return the servers that this process (or ``of``) has started.

    Stores of other tests may run, too.
    """
    return [child for child in children_of(of or os.getpid()) if _is_server(child)]


def _is_server(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return server.__name__.encode() in words


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _until(fact: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := fact()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return found


def _written(path: Path) -> int:
    with suppress(FileNotFoundError, ValueError):
        return int(path.read_text())
    return 0


def test_a_module_is_imported_once_and_each_run_has_a_process_of_its_own(run):
    first, second = _facts(run), _facts(run)

    assert first["parent"] == second["parent"] == first["prepared_by"]
    assert first["session"]
    assert first["niceness"] >= 10


def test_a_run_sees_no_secret_and_no_file_but_its_own(run, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")

    facts = _facts(run)

    assert facts["environment"] == ["HOME", "LANG", "PATH"]
    assert facts["fds"] == [0, 1, 2]


def test_a_crash_is_reported_and_leaves_the_server_as_it_was(run):
    before = _facts(run)

    crashed = run("crash")

    assert crashed.returncode == -signal.SIGSEGV
    assert _facts(run)["parent"] == before["parent"]


def test_an_exception_is_in_the_log_and_in_the_status(run):
    done = run("raise")

    assert done.returncode == 1
    assert "LookupError: as a broken file would" in done.log


def test_memory_over_the_limit_is_refused(run):
    done = run("bomb", replace(BOUNDS, memory_bytes=512 * MIB))

    assert (done.returncode, done.stdout) == (1, b"")
    assert "MemoryError" in done.log


def test_private_memory_over_the_limit_is_refused_however_fast_it_is_taken(run):
    done = run("take", replace(BOUNDS, resident_bytes=200 * MIB))

    assert done.returncode == 1
    assert "MemoryError" in done.log
    # Beside its own memory it has the pages of programs and libraries.
    assert 100 * MIB < done.peak_bytes < (200 + 64) * MIB


def test_memory_in_use_over_the_limit_ends_the_run(run, bounds):
    with pytest.raises(ResourceLimit, match="100 MiB"):
        run("hold", replace(bounds, resident_bytes=100 * MIB))


def test_a_file_over_the_limit_is_refused(run, tmp_path):
    done = run("write", replace(BOUNDS, output_bytes=MIB))

    assert "File too large" in done.log
    assert (tmp_path / "big").stat().st_size <= MIB


def test_a_run_that_spins_is_ended_by_the_kernel_even_if_nobody_watches(tmp_path):
    reader, writer = os.pipe()
    limits, fds = (
        Limits(1024 * MIB, 512 * MIB, MIB, 1),
        {"stdout": writer, "stderr": writer},
    )

    program = Main(PROGRAMS, ["spin"])
    child = prepared.start(program, tmp_path, limits, Confinement(), fds)
    os.close(writer)
    os.read(reader, 100)  # until its end
    os.close(reader)

    end = child.end()
    assert end.status in (-signal.SIGXCPU, -signal.SIGKILL)
    assert 0.5 < end.cpu < 3


@pytest.mark.parametrize(
    ("bounds", "words", "error"),
    [
        (replace(BOUNDS, stall_seconds=0.3), {}, Timeout),
        (replace(BOUNDS, cap_seconds=0.3), {}, Timeout),
        (BOUNDS, {"should_stop": lambda: True}, Interrupted),
    ],
    ids=["stall", "cap", "stop"],
)
def test_a_run_that_hangs_is_killed_and_the_server_lives(
    run, tmp_path, bounds, words, error
):
    before = _facts(run)["parent"]

    with pytest.raises(error):
        run("hang", bounds, **words)

    assert not _lives(_written(tmp_path / "pid") or 2**22)
    assert _facts(run)["parent"] == before
    assert children_of(before) == []


def test_a_server_that_was_killed_is_started_again(run):
    first = _facts(run)["parent"]
    os.kill(first, signal.SIGKILL)

    second = _facts(run)["parent"]

    assert second != first
    assert not _lives(first)


def test_a_server_that_is_killed_during_a_run_takes_the_run_along(
    run, bounds, tmp_path
):
    server = _facts(run)["parent"]

    def kill() -> None:
        _until(lambda: _written(tmp_path / "pid"), "the run began")
        os.kill(server, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(InternalError, match="was killed during a run"):
        run("hang", bounds)
    killer.join()

    assert not _lives(_written(tmp_path / "pid"))
    assert _facts(run)["parent"] != server


def test_a_stop_that_comes_with_the_servers_death_is_still_a_stop(run, tmp_path):
    server = _facts(run)["parent"]

    def should_stop() -> bool:
        if _written(tmp_path / "pid"):
            os.kill(server, signal.SIGKILL)
            return True
        return False

    with pytest.raises(Interrupted):
        run("hang", should_stop=should_stop)


def test_an_exchange_that_is_broken_off_does_not_answer_the_next_one(run, monkeypatch):
    server = _facts(run)["parent"]

    def interrupted(_channel: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("worker.media.sandbox.server.receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("facts")

    assert not _lives(server)
    assert _facts(run)["parent"] != server


def test_a_module_that_starts_a_thread_is_refused(tmp_path):
    program = Main("tests.worker.media.sandbox.threaded", [])

    with pytest.raises(InternalError, match="a thread runs in the server"):
        process.run(program, cwd=tmp_path, bounds=BOUNDS)


def test_a_module_that_is_not_there_is_named_and_the_server_lives(run, tmp_path):
    before = _facts(run)["parent"]

    with pytest.raises(InternalError, match=r"ModuleNotFoundError.*nothing_here"):
        process.run(Main("worker.nothing_here", []), cwd=tmp_path, bounds=BOUNDS)

    assert _facts(run)["parent"] == before


def test_a_folder_that_is_not_there_is_in_the_log(tmp_path):
    done = process.run(
        Main(PROGRAMS, ["facts"]),
        cwd=tmp_path / "gone",
        bounds=BOUNDS,
    )

    assert (done.returncode, done.stdout) == (127, b"")
    assert "FileNotFoundError" in done.log


def test_after_many_runs_another_server_takes_over(run, monkeypatch):
    monkeypatch.setattr(prepared, "_MOST_STARTED", 3)

    parents = [_facts(run)["parent"] for _ in range(7)]

    assert [parents.count(one) for one in dict.fromkeys(parents)] == [3, 3, 1]
    assert [_lives(one) for one in dict.fromkeys(parents)] == [False, False, True]


def test_a_server_that_has_grown_is_replaced(run, monkeypatch):
    first = _facts(run)["parent"]
    monkeypatch.setattr(prepared, "_MOST_BYTES", 1)

    assert _facts(run)["parent"] != first


def test_a_process_that_is_forked_has_a_server_of_its_own(run, tmp_path):
    ours = _facts(run)["parent"]

    pid = os.fork()
    if pid == 0:
        try:
            (tmp_path / "theirs").write_text(str(_facts(run)["parent"]))
            prepared.stop()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

    assert _written(tmp_path / "theirs") not in (0, ours)
    assert _facts(run)["parent"] == ours


_WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from worker.media.ffmpeg import process
bounds = process.Bounds(2**30, 2**29, 2**26, 60, 60)
program = process.Main(sys.argv[2], ["hang"])
if sys.argv[3] == "idle":
    process.run(process.Main(sys.argv[2], ["facts"]), cwd=Path(), bounds=bounds)
    Path("pid").write_text("1")
    input()
else:
    process.run(program, cwd=Path(), bounds=bounds)
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_leaves_no_process(tmp_path, state, how):
    words = [sys.executable, "-c", _WORKER, str(ROOT), PROGRAMS, state]
    with subprocess.Popen(words, cwd=tmp_path, stdin=subprocess.PIPE) as worker:
        _until(lambda: _written(tmp_path / "pid"), "the run began")
        (server,) = _servers(worker.pid)
        runs = children_of(server)
        worker.send_signal(how)
        worker.wait()

    assert len(runs) == (state == "busy")
    _until(lambda: not any(map(_lives, [server, *runs])), "all have ended")


def test_over_many_probes_neither_memory_nor_descriptors_grow(engine, make):
    clip = make("tiny.gif", "testsrc2=s=32x32:r=5:d=0.4")

    def held() -> tuple[int, int, int]:
        (server,) = _servers()
        status = Path(f"/proc/{server}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0])
        pipes = (Path("/proc/self/fd"), Path(f"/proc/{server}/fd"))
        ours, theirs = (len(list(folder.iterdir())) for folder in pipes)
        return resident, ours, theirs

    def probe(times: int) -> None:
        for _ in range(times):
            assert engine.probe(LocalFile(clip)).video.frames == 2

    probe(50)
    resident, *pipes = held()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    probe(450)

    after, *pipes_after = held()
    assert pipes_after == pipes
    assert after <= resident + 512  # KiB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= own + 4096
