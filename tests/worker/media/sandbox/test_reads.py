"""Each read of a source waits for its bytes; all else goes on at once."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from common.errors import Interrupted, SourceChanged, Timeout
from tests.worker.media.holes import HoledFile
from worker.media.ffmpeg import process
from worker.media.ffmpeg.process import Bounds
from worker.media.sandbox import reads
from worker.media.sandbox.reads import ReadServer

MIB = 1024 * 1024
BOUNDS = Bounds(1024 * MIB, 512 * MIB, 64 * MIB, 30, 60, stdout_bytes=MIB)
# Without the layers that forbid a sandbox in the sandbox.
LIMITED = replace(BOUNDS, layers=frozenset())
CONTENT = os.urandom(300_000)


pytestmark = pytest.mark.usefixtures("kernel_that_reports")


@dataclass
class Held:
    """A source of zeros; ``ensure`` does what the test says, and notes its ranges."""

    path: Path
    act: Callable[[int, int], object] = lambda start, end: None
    complete: bool = False
    wanted: list[tuple[int, int]] = field(default_factory=list)

    def ensure(self, start: int, end: int) -> None:
        self.wanted.append((start, end))
        self.act(start, end)


@pytest.fixture
def holed(tmp_path: Path) -> HoledFile:
    original = tmp_path / "original"
    original.write_bytes(CONTENT)
    return HoledFile(original, tmp_path / "source")


@pytest.fixture
def held(tmp_path: Path) -> Held:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return Held(path)


def run(code: str, source, tmp_path: Path, bounds: Bounds = BOUNDS, **words):
    argv = [sys.executable, "-I", "-S", "-c", f"import os, sys\n{code}"]
    return process.run(argv, cwd=tmp_path, bounds=bounds, source=source, **words)


def _descriptors() -> set[str]:
    """Return the numbers of the open ones; the one that lists them is the same."""
    return {one.name for one in Path("/proc/self/fd").iterdir()}


def test_given_holes_when_a_file_is_read_then_none_of_them_is_seen(holed, tmp_path):
    code = "sys.stdout.buffer.write(open('source', 'rb').read())"

    assert run(code, holed, tmp_path).stdout == CONTENT
    assert holed.bytes == len(CONTENT)


@pytest.mark.parametrize(
    "read",
    [
        "os.lseek(fd, 100_000, 0); data = os.read(fd, 5000)",
        "data = os.pread(fd, 5000, 100_000)",
        "data = bytearray(5000); os.lseek(fd, 100_000, 0); os.readv(fd, [data])",
        "data = bytearray(5000); os.preadv(fd, [data], 100_000)",
    ],
)
def test_given_any_call_that_reads_when_it_is_used_then_the_bytes_are_there(
    holed, tmp_path, read
):
    code = f"fd = os.open('source', 0); {read}; os.write(1, data)"

    assert run(code, holed, tmp_path).stdout == CONTENT[100_000:105_000]


def test_given_a_few_bytes_read_when_it_ends_then_no_others_were_fetched(
    holed, tmp_path
):
    run("os.pread(os.open('source', 0), 10, 200_000)", holed, tmp_path)

    assert holed.bytes == 4096


def test_given_another_name_when_it_is_read_then_it_is_known_as_the_source(
    holed, tmp_path
):
    (tmp_path / "link").symlink_to(holed.path)
    os.link(holed.path, tmp_path / "hard")
    code = (
        "os.write(1, os.pread(os.open('link', 0), 9, 0));"
        "os.write(1, os.pread(os.open('hard', 0), 9, 90_000))"
    )

    assert run(code, holed, tmp_path).stdout == CONTENT[:9] + CONTENT[90_000:90_009]


def test_given_a_read_past_the_end_when_it_is_answered_then_nothing_is_asked_for(
    held, tmp_path
):
    code = "os.write(1, b'<%s>' % os.pread(os.open('source', 0), 9, 300_000))"

    assert run(code, held, tmp_path).stdout == b"<>"
    assert not held.wanted


def test_given_threads_when_all_wait_then_each_is_served_by_itself(held, tmp_path):
    together = threading.Barrier(8)
    held.act = lambda start, end: together.wait(30)
    code = (
        "import threading\n"
        "fd = os.open('source', 0)\n"
        "read = lambda n: os.pread(fd, 10, n * 10)\n"
        "all = [threading.Thread(target=read, args=(n,)) for n in range(8)]\n"
        "[one.start() for one in all]; [one.join() for one in all]; print('done')"
    )

    assert run(code, held, tmp_path).stdout == b"done\n"
    assert sorted(held.wanted) == [(n * 10, n * 10 + 10) for n in range(8)]


def test_given_a_read_that_waits_when_another_file_is_read_then_that_goes_on(
    held, tmp_path
):
    (tmp_path / "other").write_bytes(b"other")
    came = threading.Event()

    def act(start: int, end: int) -> None:
        while not (tmp_path / "mark").exists():
            assert not came.wait(0.01)

    held.act = act
    code = (
        "import threading\n"
        "fd = os.open('source', 0)\n"
        "one = threading.Thread(target=os.read, args=(fd, 10)); one.start()\n"
        "open('mark', 'wb').write(open('other', 'rb').read()); one.join()"
    )

    assert run(code, held, tmp_path).returncode == 0
    assert (tmp_path / "mark").read_bytes() == b"other"


def test_given_a_long_wait_when_it_ends_then_no_limit_has_counted_it(held, tmp_path):
    held.act = lambda start, end: time.sleep(1.5)
    bounds = replace(BOUNDS, stall_seconds=1, cap_seconds=1)

    done = run("os.write(1, os.read(os.open('source', 0), 3))", held, tmp_path, bounds)

    assert done.stdout == CONTENT[:3]
    assert done.seconds < 1


def test_given_no_wait_when_nothing_moves_then_the_run_stalls_as_ever(held, tmp_path):
    bounds = replace(BOUNDS, stall_seconds=0.5)
    code = "os.read(os.open('source', 0), 3); import time; time.sleep(60)"

    with pytest.raises(Timeout, match="no progress"):
        run(code, held, tmp_path, bounds)


def test_given_bytes_that_cannot_be_had_when_they_are_read_then_the_run_raises_why(
    held, tmp_path
):
    def act(start: int, end: int) -> None:
        raise SourceChanged("the source has changed since it was pinned")

    held.act = act
    code = "open('pid', 'w').write(str(os.getpid())); os.read(os.open('source', 0), 9)"
    started = time.monotonic()

    with pytest.raises(SourceChanged, match="since it was pinned"):
        run(code, held, tmp_path)

    assert time.monotonic() - started < 20
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


@pytest.mark.parametrize(
    "error", [OSError(errno.EMFILE, "Too many open files"), RuntimeError("no thread")]
)
def test_given_a_read_whose_place_is_unknown_when_it_is_served_then_no_hole_is_read(
    held, tmp_path, monkeypatch, error
):
    def refuse(call):
        raise error

    monkeypatch.setattr(reads, "_position", refuse)

    with pytest.raises(type(error), match=str(error.args[-1])):
        run("os.read(os.open('source', 0), 9)", held, tmp_path)


def test_given_a_closed_descriptor_when_it_is_read_then_the_read_fails_by_itself(
    held, tmp_path
):
    code = """
try:
    os.read(99, 9)
except OSError as error:
    print(error.strerror)
"""

    assert run(code, held, tmp_path).stdout == b"Bad file descriptor\n"


def test_given_a_stop_while_a_read_waits_when_it_is_seen_then_the_fetch_ends_first(
    held, tmp_path
):
    waits, done = threading.Event(), threading.Event()

    def act(start: int, end: int) -> None:
        waits.set()
        time.sleep(1)
        done.set()

    held.act = act
    code = "os.read(os.open('source', 0), 9)"

    with pytest.raises(Interrupted):
        run(code, held, tmp_path, should_stop=waits.is_set)

    assert done.is_set(), "the source was still in use when the run had ended"


def test_given_a_process_that_dies_in_a_read_when_it_is_answered_then_all_is_well(
    held, tmp_path
):
    def act(start: int, end: int) -> None:
        os.kill(int((tmp_path / "pid").read_text()), 9)
        time.sleep(0.2)

    held.act = act
    code = "open('pid', 'w').write(str(os.getpid())); os.read(os.open('source', 0), 9)"

    assert run(code, held, tmp_path).returncode == -9


def test_given_a_source_that_becomes_complete_when_it_is_read_then_nothing_waits(
    held, tmp_path
):
    def act(start: int, end: int) -> None:
        held.complete = True

    held.act = act
    code = "fd = os.open('source', 0); [os.read(fd, 9) for _ in range(5)]"

    assert run(code, held, tmp_path).returncode == 0
    assert held.wanted == [(0, 9)]


def test_given_a_complete_source_when_it_is_read_then_no_read_is_reported(
    held, tmp_path, monkeypatch
):
    monkeypatch.setattr(process, "ReadServer", None)
    held.complete = True

    done = run("os.write(1, os.read(os.open('source', 0), 3))", held, tmp_path)

    assert done.stdout == CONTENT[:3]


def test_given_a_kernel_that_refuses_when_a_program_starts_then_it_never_reads(
    held, tmp_path
):
    # A process whose reads are reported cannot have those of another reported.
    code = f"""sys.path.insert(0, {str(Path(process.__file__).parents[3])!r})
from pathlib import Path
from tests.worker.media.sandbox.test_reads import LIMITED, Held, run
from worker.media.sandbox import reads
done = run("os.write(1, b'read')", Held(Path("source")), Path(), LIMITED)
print(done.returncode, done.stdout, done.log.strip(), reads.refusal(), sep="|")"""
    argv = [sys.executable, "-I", "-c", f"import os, sys\n{code}"]

    done = process.run(argv, cwd=tmp_path, bounds=LIMITED, source=held)

    assert done.stdout, done.log
    status, output, log, reason = done.stdout.decode().strip().split("|")
    assert (status, output) == ("127", "b''")
    assert log.startswith("cannot start, its reads cannot be reported: ")
    assert "seccomp: Device or resource busy" in log
    assert reason == log


def test_given_reads_that_nobody_stops_when_it_is_tried_out_then_that_is_the_reason(
    monkeypatch,
):
    monkeypatch.setattr(ReadServer, "_wanted", lambda server, call: None)

    assert "not reported" in str(reads._try_once.__wrapped__())


def test_given_a_trial_that_was_too_slow_when_a_minute_has_passed_then_it_is_repeated(
    monkeypatch,
):
    monkeypatch.setattr(reads, "_slow_until", 0.0)
    reads._try_once.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(reads.select, "select", lambda *_: ([], [], []))
        assert "did not end within 20 seconds" in str(reads.refusal())
    assert "did not end" in str(reads.refusal()), "not at once: each costs 20 s"
    monkeypatch.setattr(reads, "_slow_until", time.monotonic())

    assert "did not end" not in str(reads.refusal())


def test_given_a_server_that_was_never_started_when_it_is_closed_then_nothing_is_left(
    held,
):
    before = _descriptors()

    ReadServer(held).close()

    assert _descriptors() == before


def test_given_many_runs_when_they_have_ended_then_no_descriptor_is_left(
    held, tmp_path
):
    before = _descriptors()

    for _ in range(3):
        run("os.read(os.open('source', 0), 3)", held, tmp_path)

    assert _descriptors() == before
