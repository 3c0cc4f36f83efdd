"""Run one program to its end, within limits, and leave no process behind.

The program is started through :mod:`worker.media.sandbox.launcher` in its own session
and process group. :func:`run` watches it, and sends SIGKILL to the whole group if it is
told to stop, sees no progress, reaches the time limit or finds too much memory in use.
SIGTERM would not help: FFmpeg ignores it inside a filter loop.

Call :func:`run` from the main thread: PR_SET_PDEATHSIG follows the *thread* that
started the child, so the end of a helper thread would kill it (prctl(2)).
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import Interrupted, ResourceLimit, Timeout

LOG_BYTES = 64 * 1024
_TICK = 0.1
_CHUNK = 64 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SANDBOX = Path(__file__).parents[1] / "sandbox" / "launcher.py"
_MIB = 1024 * 1024
# A decoder needs none of the worker's variables, which hold credentials.
_ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


@dataclass(frozen=True)
class Bounds:
    """The limits of one run.

    ``memory_bytes`` limits the address space, ``resident_bytes`` the memory in use
    (polled), ``output_bytes`` the largest file. The run ends after ``stall_seconds``
    without progress, or after ``cap_seconds`` in all.
    """

    memory_bytes: int
    resident_bytes: int
    output_bytes: int
    stall_seconds: float
    cap_seconds: float


@dataclass(frozen=True)
class ProcessResult:
    """How a run ended; ``log`` is the tail of standard error.

    ``returncode`` is negative if a signal ended the run. ``peak_bytes`` is the most
    memory that was resident, ``cpu_seconds`` the user and system time.
    """

    returncode: int
    stdout: bytes
    log: str
    seconds: float
    peak_bytes: int
    cpu_seconds: float = 0.0


@dataclass
class _Tail:
    """The last ``LOG_BYTES`` of a stream."""

    data: bytearray = field(default_factory=bytearray)

    def add(self, chunk: bytes) -> None:
        self.data += chunk
        if len(self.data) > 2 * LOG_BYTES:
            del self.data[:-LOG_BYTES]

    def text(self) -> str:
        return bytes(self.data[-LOG_BYTES:]).decode("utf-8", "replace")


def _ignore(_: float) -> None:
    """Accept a progress report and do nothing with it."""


def _go_on() -> bool:
    return False


class _Child:
    """A running program and what has been read from it."""

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        bounds: Bounds,
        capture: int,
        *,
        marks: bool,
    ) -> None:
        reader, writer = os.pipe() if marks else (-1, -1)
        # Both threads of a two-core decoder may be busy for the whole cap.
        cpu = int(bounds.cap_seconds * (os.cpu_count() or 1)) + 5
        wrapper = [sys.executable, "-I", "-S", str(_SANDBOX)]
        numbers = (os.getpid(), bounds.memory_bytes, bounds.output_bytes, cpu)
        program = [word.replace("{progress}", f"pipe:{writer}") for word in argv]
        try:
            self.process = subprocess.Popen(
                [*wrapper, *map(str, numbers), "--", *program],
                cwd=cwd,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(writer,) if marks else (),
                start_new_session=True,
                bufsize=0,
            )
        except BaseException:
            if marks:
                os.close(reader)
            raise
        finally:
            if marks:
                os.close(writer)
        self.capture = capture
        self.out = bytearray()
        self.log = _Tail()
        self.marks = bytearray()
        self.seconds: float | None = None
        self._told: float | None = None
        self.mark: tuple[object, ...] = ()
        self.peak = 0
        self.cpu = 0.0
        self._reader = reader
        self._selector = selectors.DefaultSelector()
        self._pidfd = os.pidfd_open(self.process.pid)
        self._open_files()

    def _open_files(self) -> None:
        pipes: dict[int, Callable[[bytes], None]] = {}
        if self.process.stdout is not None:
            pipes[self.process.stdout.fileno()] = self._take_output
        if self.process.stderr is not None:
            pipes[self.process.stderr.fileno()] = self.log.add
        if self._reader >= 0:
            pipes[self._reader] = self._take_marks
        for pipe, take in pipes.items():
            os.set_blocking(pipe, False)
            self._selector.register(pipe, selectors.EVENT_READ, take)
        self._selector.register(self._pidfd, selectors.EVENT_READ, None)

    def _take_output(self, chunk: bytes) -> None:
        self.out += chunk[: max(0, self.capture - len(self.out))]

    def _take_marks(self, chunk: bytes) -> None:
        """Read the ``key=value`` lines of FFmpeg's ``-progress``."""
        self.marks += chunk
        *lines, rest = self.marks.split(b"\n")
        self.marks = bytearray(rest)
        for line in lines:
            key, _, value = line.partition(b"=")
            if key == b"out_time_us" and value.strip().lstrip(b"-").isdigit():
                self.seconds = int(value) / 1e6

    def pump(self, seconds: float) -> bool:
        """Read what is there, wait at most ``seconds``; return True if it has ended."""
        ended = False
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                ended = True
            else:
                self._drain(key.fd, key.data, once=True)
        if ended:
            for entry in list(self._selector.get_map().values()):
                if entry.data is not None:
                    self._drain(entry.fd, entry.data, once=False)
        return ended

    def _drain(self, pipe: int, take: Callable[[bytes], None], *, once: bool) -> None:
        while True:
            try:
                chunk = os.read(pipe, _CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                self._selector.unregister(pipe)
                return
            take(chunk)
            if once:
                return

    def moved(self) -> bool:
        """Return True if the process made progress since the last call.

        Media time, bytes read and output all count. FFmpeg reports no media time while
        ``palettegen`` collects frames, but it reads on.
        """
        mark = (self.seconds, _bytes_read(self.process.pid), len(self.out))
        moved = mark != self.mark
        self.mark = mark
        return moved

    def tell(self, progress: Callable[[float], None]) -> None:
        """Report the media seconds done, if they have changed."""
        if self.seconds is not None and self.seconds != self._told:
            self._told = self.seconds
            progress(max(0.0, self.seconds))

    def resident(self) -> int:
        """Return the bytes that are resident now."""
        now = _resident_bytes(self.process.pid)
        self.peak = max(self.peak, now)
        return now

    def end(self) -> int:
        """Kill the rest of the group, reap the child, close all; return its status."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # the whole group has ended already
        except PermissionError:
            self.process.kill()
        # wait4 instead of Popen.wait: it also returns the child's peak memory.
        _, code, usage = os.wait4(self.process.pid, 0)
        status = self.process.returncode = os.waitstatus_to_exitcode(code)
        self.peak = max(self.peak, usage.ru_maxrss * 1024)
        self.cpu = usage.ru_utime + usage.ru_stime
        self._selector.close()
        os.close(self._pidfd)
        if self._reader >= 0:
            os.close(self._reader)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return status


def _bytes_read(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    except OSError:
        return None
    return int(text.split("\n", 1)[0].split()[1])


def _resident_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/statm").read_text(encoding="ascii")
    except OSError:
        return 0
    return int(text.split()[1]) * _PAGE if text else 0


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    bounds: Bounds,
    capture: int = 0,
    progress: Callable[[float], None] = _ignore,
    should_stop: Callable[[], bool] = _go_on,
) -> ProcessResult:
    """Run ``argv`` (its first word a path) in ``cwd`` and wait for its end.

    The word ``{progress}`` in ``argv`` becomes the pipe on which FFmpeg's ``-progress``
    is read; ``progress`` is then called with the media seconds done. At most
    ``capture`` bytes of standard output are kept. A non-zero exit status is not an
    error here: the caller knows what it means.

    Raises Interrupted if ``should_stop`` returns True, Timeout on a stall or at the
    time limit, ResourceLimit if too much memory is resident.
    """
    started = last = time.monotonic()
    child = _Child(argv, cwd, bounds, capture, marks="{progress}" in argv)
    try:
        while not child.pump(_TICK):
            now = time.monotonic()
            if child.moved():
                last = now
            child.tell(progress)
            _check_bounds(child, bounds, now - started, now - last, should_stop)
        child.tell(progress)
    finally:
        status = child.end()
    return ProcessResult(
        status,
        bytes(child.out),
        child.log.text(),
        time.monotonic() - started,
        child.peak,
        child.cpu,
    )


def _check_bounds(
    child: _Child,
    bounds: Bounds,
    total: float,
    idle: float,
    should_stop: Callable[[], bool],
) -> None:
    if should_stop():
        raise Interrupted("the attempt was told to stop")
    if child.resident() > bounds.resident_bytes:
        raise ResourceLimit(
            f"rendering needed more than {bounds.resident_bytes // _MIB} MiB of memory",
            hint="ask for a smaller output; if a small one fails too, the source's "
            "frames are too large",
        )
    if idle > bounds.stall_seconds:
        raise Timeout(f"no progress for {bounds.stall_seconds:g} seconds")
    if total > bounds.cap_seconds:
        raise Timeout(f"not finished after {bounds.cap_seconds:g} seconds")
