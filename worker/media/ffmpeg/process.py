"""Run one program to its end, within limits, and leave no process behind.

The program is started by :mod:`worker.media.sandbox.prepared` in its own session and
process group. :func:`run` watches it, and has SIGKILL sent to the whole group if it is
told to stop, sees no progress, reaches the time limit or finds too much memory in use.
SIGTERM would not help: FFmpeg ignores it inside a filter loop.

If the program reads a source that is not complete, its reads wait for the bytes: see
:mod:`worker.media.sandbox.reads`. This time counts for no limit, because the storage
has limits of its own.

Call :func:`run` from the main thread, as :mod:`worker.media.sandbox.prepared` explains.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import InternalError, Interrupted, ResourceLimit, Timeout
from worker.media.sandbox import layers, prepared, server
from worker.media.sandbox.layers import Confinement
from worker.media.sandbox.limits import Limits
from worker.media.sandbox.reads import ReadServer
from worker.media.source_file import SourceFile

LOG_BYTES = 64 * 1024
_TICK = 0.1
_CHUNK = 64 * 1024
# A program that logs line by line is read this often, and not for each line.
_PAUSE_SECONDS = 0.01
_LITTLE_BYTES = 4096
_MIB = 1024 * 1024
# A crash beyond this share of the memory is due to its end.
_NEARLY = 0.75
Main = prepared.Main


@dataclass(frozen=True)
class Bounds:
    """The limits of one run.

    ``memory_bytes`` limits the address space, ``resident_bytes`` the memory in use:
    the kernel refuses more that is private, and memory of other kinds is polled. The
    kernel counts what is allocated, so it allows ``reserved_bytes`` more, which will
    not be used. ``output_bytes`` limits the largest file. The run ends after
    ``stall_seconds`` without progress, or after ``cap_seconds`` in all. Waiting for
    bytes of the source counts for neither. Of standard output, the first
    ``stdout_bytes`` are kept. With ``writes`` it may change its folder. ``layers`` are
    those of :mod:`worker.media.sandbox.layers`, by default all that the host has.
    """

    memory_bytes: int
    resident_bytes: int
    output_bytes: int
    stall_seconds: float
    cap_seconds: float
    stdout_bytes: int = 0
    writes: bool = True
    layers: frozenset[str] = field(default_factory=lambda: layers.chosen("auto"))
    reserved_bytes: int = 0

    @property
    def private_bytes(self) -> int:
        """How much may be allocated for the process alone."""
        return min(self.resident_bytes + self.reserved_bytes, self.memory_bytes)


@dataclass(frozen=True)
class ProcessResult:
    """How a run ended; ``log`` is the tail of standard error.

    ``returncode`` is negative if a signal ended the run. ``peak_bytes`` is the most
    memory that was resident, ``cpu_seconds`` the user and system time. ``seconds`` are
    those of :class:`Bounds`, without the time of waiting for the source.
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
        program: Sequence[str] | Main,
        cwd: Path,
        bounds: Bounds,
        how: Confinement,
        reads: ReadServer | None,
    ) -> None:
        self.kept = bounds.stdout_bytes
        self.out = bytearray()
        self.log = _Tail()
        self.marks = bytearray()
        self.seconds: float | None = None
        self._told: float | None = None
        self.mark: tuple[object, ...] = ()
        self.peak = self.private = 0
        takers = {"stdout": self._take_output, "stderr": self.log.add}
        if not isinstance(program, Main) and "{progress}" in program:
            takers["progress"] = self._take_marks
        self._selector = selectors.DefaultSelector()
        self._ends = selectors.DefaultSelector()
        self._pipes: list[int] = []
        try:
            self._confined = self._start(program, cwd, bounds, how, takers, reads)
        except BaseException:
            self._close()
            raise
        try:
            pidfd = os.pidfd_open(self._confined.pid)
            self._pipes.append(pidfd)
            ends = [pidfd]
            if reads is not None:
                reads.start()
                ends.append(reads.failed)
            for end in ends:
                self._ends.register(end, selectors.EVENT_READ)
                self._selector.register(end, selectors.EVENT_READ, None)
        except BaseException:
            self.end()
            raise

    def _start(
        self,
        program: Sequence[str] | Main,
        cwd: Path,
        bounds: Bounds,
        how: Confinement,
        takers: Mapping[str, Callable[[bytes], None]],
        reads: ReadServer | None,
    ) -> prepared.Confined:
        """Start the program with a pipe for each of ``takers``, its reads served."""
        # Both threads of a two-core decoder may be busy for the whole cap.
        cpu = int(bounds.cap_seconds * (os.cpu_count() or 1)) + 5
        limits = Limits(
            bounds.memory_bytes, bounds.private_bytes, bounds.output_bytes, cpu
        )
        writers: dict[str, int] = {}
        try:
            for name, take in takers.items():
                reader, writers[name] = os.pipe()
                self._pipes.append(reader)
                os.set_blocking(reader, False)
                self._selector.register(reader, selectors.EVENT_READ, take)
            served = {} if reads is None else {server.READS: reads.descriptor}
            return prepared.start(program, cwd, limits, how, {**writers, **served})
        finally:
            for writer in writers.values():
                os.close(writer)

    def _take_output(self, chunk: bytes) -> None:
        self.out += chunk[: max(0, self.kept - len(self.out))]

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
        """Read what is there, wait at most ``seconds``; return True if it is over.

        That is so if the process has ended, or a read of it never will.
        """
        ended, came = False, 0
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                ended = True
            else:
                came += self._drain(key.fd, key.data, once=True)
        if 0 < came < _LITTLE_BYTES and not ended:
            ended = bool(self._ends.select(_PAUSE_SECONDS))
        if ended:
            for entry in list(self._selector.get_map().values()):
                if entry.data is not None:
                    self._drain(entry.fd, entry.data, once=False)
        return ended

    def _drain(self, pipe: int, take: Callable[[bytes], None], *, once: bool) -> int:
        """Read what is in a pipe, or one chunk of it; return the number of bytes."""
        came = 0
        while True:
            try:
                chunk = os.read(pipe, _CHUNK)
            except BlockingIOError:
                return came
            if not chunk:
                self._selector.unregister(pipe)
                return came
            take(chunk)
            came += len(chunk)
            if once:
                return came

    def moved(self) -> bool:
        """Return True if the process made progress since the last call.

        Media time, bytes read and output all count. FFmpeg reports no media time while
        ``palettegen`` collects frames, but it reads on.
        """
        mark = (self.seconds, _bytes_read(self._confined.pid), len(self.out))
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
        used = prepared.memory(self._confined.pid)
        self.peak = max(self.peak, used.resident)
        self.private = max(self.private, used.private)
        return used.resident

    def end(self) -> prepared.End:
        """Kill the rest of the group, close all, and return how the program ended."""
        try:
            end = self._confined.end()
        finally:
            self._close()
        self.peak = max(self.peak, end.peak)
        return end

    def _close(self) -> None:
        self._selector.close()
        self._ends.close()
        for pipe in self._pipes:
            os.close(pipe)


def _bytes_read(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    except OSError:
        return None
    return int(text.split("\n", 1)[0].split()[1])


def run(
    program: Sequence[str] | Main,
    *,
    cwd: Path,
    bounds: Bounds,
    progress: Callable[[float], None] = _ignore,
    should_stop: Callable[[], bool] = _go_on,
    source: SourceFile | None = None,
) -> ProcessResult:
    """Run ``program`` in ``cwd`` and wait for its end.

    A program is a list of words, the first of them a path, or a module of ours. The
    word ``{progress}`` becomes the pipe on which FFmpeg's ``-progress`` is read;
    ``progress`` is then called with the media seconds done. A non-zero exit status is
    not an error here: the caller knows what it means.

    The program is shut off from all files but ``cwd`` and ``source``, which it may
    read. What it reads of that, by whatever name, is fetched before.

    Raises Interrupted if ``should_stop`` returns True, Timeout on a stall or at the
    time limit, ResourceLimit if too much memory is resident, InternalError if the
    program could not be started, or was killed with the process that starts them, and
    what ``source.ensure`` raises.
    """
    readable = [] if source is None else [str(source.path.resolve())]
    how = Confinement(sorted(bounds.layers), readable, bounds.writes)
    missing = source is not None and not source.complete
    served = closing(ReadServer(source)) if source and missing else nullcontext()
    with served as reads:
        started = last = _clock(reads)
        child = _Child(program, cwd, bounds, how, reads)
        looked = time.monotonic()
        try:
            while not child.pump(_TICK):
                if time.monotonic() - looked < _TICK:
                    continue
                looked, now = time.monotonic(), _clock(reads)
                if child.moved():
                    last = now
                child.tell(progress)
                _check_bounds(child, bounds, now - started, now - last, should_stop)
            child.tell(progress)
        finally:
            end = child.end()
        seconds = _clock(reads) - started
        if reads is not None and reads.error is not None:
            raise reads.error
    return _result(child, end, bounds, seconds)


def _too_much(bounds: Bounds) -> ResourceLimit:
    return ResourceLimit(
        f"rendering needed more than {bounds.resident_bytes // _MIB} MiB of memory",
        hint="ask for a smaller output; if a small one fails too, the source's "
        "frames are too large",
    )


def _result(
    child: _Child, end: prepared.End, bounds: Bounds, seconds: float
) -> ProcessResult:
    if end.lost:
        raise InternalError("the process that starts decoders was killed during a run")
    if end.status < 0 and child.private > _NEARLY * bounds.private_bytes:
        # Not every library survives that it gets no more.
        raise _too_much(bounds)
    log = child.log.text()
    return ProcessResult(
        end.status, bytes(child.out), log, seconds, child.peak, end.cpu
    )


def _clock(reads: ReadServer | None) -> float:
    """Return the seconds of a clock that stands still while reads wait."""
    return time.monotonic() - (reads.waited() if reads is not None else 0.0)


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
        raise _too_much(bounds)
    if idle > bounds.stall_seconds:
        raise Timeout(f"no progress for {bounds.stall_seconds:g} seconds")
    if total > bounds.cap_seconds:
        raise Timeout(f"not finished after {bounds.cap_seconds:g} seconds")
