"""A child runs within limits and is never left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import Interrupted, ResourceLimit, Timeout
from common.settings.load import Settings
from worker.media.ffmpeg import binary, process
from worker.media.ffmpeg.process import LOG_BYTES, Bounds
from worker.media.sandbox import prepared

MIB = 1024 * 1024
BOUNDS = Bounds(1024 * MIB, 512 * MIB, 64 * MIB, 100, 100)
# For programs that do what the other layers of the sandbox forbid.
LIMITED = replace(BOUNDS, layers=frozenset())
PYTHON = (sys.executable, "-I", "-S", "-c")


def _run(code: str, tmp_path: Path, bounds: Bounds = BOUNDS, **words):
    return process.run([*PYTHON, code], cwd=tmp_path, bounds=bounds, **words)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _await_death(pid: int, seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while _is_alive(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_given_a_program_when_it_ends_then_output_log_and_status_are_told(tmp_path):
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"

    done = _run(code, tmp_path, replace(BOUNDS, stdout_bytes=100))

    assert (done.returncode, done.stdout, done.log) == (7, b"out\n", "err\n")


def test_given_much_output_when_it_is_read_then_the_first_bytes_are_kept(tmp_path):
    done = _run("print('x' * 3_000_000)", tmp_path, replace(BOUNDS, stdout_bytes=1000))

    assert done.stdout == b"x" * 1000


def test_given_a_long_log_when_it_is_read_then_only_its_tail_is_kept(tmp_path):
    code = "import sys\nfor n in range(300_000): print(n, file=sys.stderr)"

    done = _run(code, tmp_path)

    assert len(done.log) <= LOG_BYTES
    assert done.log.endswith("299999\n")


def test_given_a_program_that_logs_line_by_line_when_it_runs_then_reading_costs_little(
    tmp_path, monkeypatch
):
    calls = Counter()

    def count(name):
        method = getattr(process._Child, name)

        def counted(*args, **words):
            calls[name] += 1
            return method(*args, **words)

        monkeypatch.setattr(process._Child, name, counted)

    count("_drain")
    count("moved")
    line = "os.write(2, b'an error\\n'); time.sleep(0.0002)"
    code = f"import os, time\nfor n in range(10_000): {line}"
    before = time.process_time()

    done = _run(code, tmp_path)

    spent = time.process_time() - before
    # Ten looks a second, and a hundred reads: more only where much has come meanwhile.
    assert calls["moved"] <= 10 * done.seconds + 5
    assert calls["_drain"] <= 100 * done.seconds + 50
    assert spent < 0.4, "a look at its limits for each line"
    assert done.log.endswith("an error\n")


def test_given_a_cap_when_it_passes_then_the_child_is_killed(tmp_path):
    code = "import time\nwhile 1: open('/dev/urandom', 'rb').read(9); time.sleep(.01)"
    started = time.monotonic()

    with pytest.raises(Timeout, match="not finished"):
        _run(code, tmp_path, replace(BOUNDS, cap_seconds=0.5))

    assert time.monotonic() - started < 20


def test_given_no_progress_when_the_stall_time_passes_then_it_is_killed(tmp_path):
    with pytest.raises(Timeout, match="no progress"):
        _run("while 1: pass", tmp_path, replace(BOUNDS, stall_seconds=0.5))


def test_given_a_stop_flag_when_it_turns_true_then_the_run_is_interrupted(tmp_path):
    polls = []

    def should_stop() -> bool:
        polls.append(1)
        return len(polls) > 2

    with pytest.raises(Interrupted):
        _run("import time; time.sleep(30)", tmp_path, should_stop=should_stop)


def test_given_a_grandchild_when_the_run_is_stopped_then_the_whole_group_dies(tmp_path):
    code = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['/bin/sleep', '60'])\n"
        "open('pid', 'w').write(str(child.pid)); time.sleep(60)"
    )
    pid_file = tmp_path / "pid"

    with pytest.raises(Interrupted):
        _run(code, tmp_path, LIMITED, should_stop=lambda: bool(_read(pid_file)))

    assert _await_death(int(_read(pid_file)))


def test_given_a_grandchild_when_the_child_ends_then_it_is_not_left(tmp_path):
    code = "import subprocess; print(subprocess.Popen(['/bin/sleep', '60']).pid)"

    done = _run(code, tmp_path, replace(LIMITED, stdout_bytes=100))

    assert _await_death(int(done.stdout))


def test_given_the_parent_is_killed_when_it_dies_then_the_child_dies_too(tmp_path):
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    root = Path(process.__file__).parents[3]
    parent = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from pathlib import Path\n"
        "from worker.media.ffmpeg.process import Bounds, run\n"
        f"bounds = Bounds({2**30}, {2**29}, {2**26}, 60, 60)\n"
        f"run([{sys.executable!r}, '-I', '-S', '-c', {code!r}],"
        f" cwd=Path({str(tmp_path)!r}), bounds=bounds)"
    )
    with subprocess.Popen([sys.executable, "-c", parent]) as running:
        until = time.monotonic() + 60
        while not _read(tmp_path / "pid"):
            assert time.monotonic() < until
            time.sleep(0.02)
        pid = int(_read(tmp_path / "pid"))
        os.kill(running.pid, signal.SIGKILL)

    assert _await_death(pid)


def test_given_an_address_space_limit_when_it_is_passed_then_memory_is_refused(
    tmp_path,
):
    code = "x = bytearray(800 * 1024 * 1024)"

    done = _run(code, tmp_path, replace(BOUNDS, memory_bytes=512 * MIB))

    assert done.returncode == 1
    assert "MemoryError" in done.log


def test_given_a_resident_limit_when_more_is_held_then_it_is_killed(tmp_path):
    # Of shared memory, which the kernel does not limit.
    code = (
        "import mmap, time; x = mmap.mmap(-1, 300 * 1024 * 1024); "
        "[x.__setitem__(k, 1) for k in range(0, len(x), 4096)]; time.sleep(30)"
    )

    with pytest.raises(ResourceLimit, match="100 MiB") as caught:
        _run(code, tmp_path, replace(BOUNDS, resident_bytes=100 * MIB))

    # What can be asked otherwise comes first: the source is as it is.
    assert (caught.value.hint or "").startswith("ask for a smaller output")
    assert "source" in (caught.value.hint or "").partition(";")[2]


# Frames of 108 MB, which all wait for the last one.
GREEDY = ["-f", "lavfi", "-i", "testsrc=s=6000x6000:r=10:d=9,reverse"]


def test_given_a_resident_limit_when_ffmpeg_takes_memory_then_it_is_never_over(
    tmp_path, monkeypatch
):
    ends, end = [], prepared.Confined.end
    monkeypatch.setattr(
        prepared.Confined, "end", lambda self: ends.append(end(self)) or ends[-1]
    )
    words = [binary.path(Settings()), "-v", "error", *GREEDY, "-f", "null", "-"]
    bounds = binary.bounds(Settings(), 9)
    assert bounds.resident_bytes == binary.RESIDENT_BYTES

    # The kernel refuses it, unless the pages of FFmpeg itself are one too many before.
    with suppress(ResourceLimit):
        done = process.run(words, cwd=tmp_path, bounds=bounds)
        assert done.returncode != 0
        assert "Cannot allocate memory" in done.log

    assert 500 * MIB < ends[0].peak < 1024 * MIB


def test_given_a_crash_when_the_memory_was_all_taken_then_that_is_the_reason(tmp_path):
    code = (
        "import ctypes, time\n"
        "x = bytearray(90 * 1024 * 1024)\n"
        "time.sleep(1)\n"
        "ctypes.string_at(0)\n"
    )

    with pytest.raises(ResourceLimit, match="100 MiB"):
        _run(code, tmp_path, replace(BOUNDS, resident_bytes=100 * MIB))


def test_given_a_file_limit_when_it_is_passed_then_the_write_fails(tmp_path):
    code = "open('big', 'wb').write(b'x' * 2_000_000)"

    done = _run(code, tmp_path, replace(BOUNDS, output_bytes=MIB))

    assert "File too large" in done.log
    assert (tmp_path / "big").stat().st_size <= MIB


def test_given_secrets_in_the_environment_when_it_runs_then_it_sees_none(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")

    done = _run(
        "import os; print(sorted(os.environ))",
        tmp_path,
        replace(BOUNDS, stdout_bytes=4000),
    )

    assert b"AWS" not in done.stdout
    assert b"PATH" in done.stdout


def test_given_a_program_that_is_not_there_when_it_is_run_then_the_log_says_so(
    tmp_path,
):
    done = process.run(["/nowhere/tool"], cwd=tmp_path, bounds=BOUNDS)

    assert done.returncode == 127
    assert "cannot start /nowhere/tool" in done.log


def test_given_ffmpegs_progress_when_it_comes_then_media_seconds_are_reported(
    tmp_path, ffmpeg
):
    seen = []
    words = ["-f", "lavfi", "-i", "testsrc2=s=640x360:d=4", "-f", "null", "-"]
    argv = [ffmpeg, "-v", "error", "-progress", "{progress}", *words]

    done = process.run(argv, cwd=tmp_path, bounds=BOUNDS, progress=seen.append)

    assert done.returncode == 0
    assert seen
    assert seen == sorted(seen)
    assert seen[-1] <= 4.1


def test_given_a_finished_run_when_it_is_measured_then_peak_and_cpu_are_told(tmp_path):
    done = _run("x = b'x' * (200 * 1024 * 1024)", tmp_path)

    # Linux counts what the parent had at the fork into the child's peak.
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 200 * MIB < done.peak_bytes < max(500 * MIB, inherited + 50 * MIB)
    assert done.cpu_seconds > 0


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_given_a_run_when_it_starts_then_it_gains_no_privileges_and_leaves_no_core(
    tmp_path,
):
    code = (
        "import resource, pathlib\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(status.split('NoNewPrivs:')[1].split()[0])\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))"
    )

    done = _run(code, tmp_path, replace(LIMITED, stdout_bytes=1000))

    assert done.stdout.decode().split("\n")[:2] == ["1", "(0, 0)"]


def test_given_a_run_when_it_makes_a_file_then_others_cannot_read_it(tmp_path):
    _run("open('made', 'w').close()", tmp_path)

    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600
