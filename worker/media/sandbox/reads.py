"""Have each read of a source wait until its bytes are there.

A decoder gets a plain path, and what has not been fetched is a hole in that file. The
kernel pauses each of its reads and reports it here (seccomp_unotify(2), set up by
:func:`worker.media.sandbox.report.report_reads`). If the descriptor is that of the
source, the bytes are fetched into the file; then the read goes on as if nothing had
happened. So a hole is never read, whatever the container is and wherever the decoder
seeks. Reads of other files go on at once.

FFmpeg's ``file`` protocol, which PyAV uses too, reads by read(2). It maps no file into
memory.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import select
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from worker.media.sandbox import layers, prepared, report, seccomp, server
from worker.media.sandbox.limits import Limits
from worker.media.source_file import SourceFile

# <linux/seccomp.h>: two ioctls, and the answer that lets a call go on.
_RECEIVE, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1
# struct seccomp_notif: its id, the thread, the call's number and its arguments.
_CALL = struct.Struct("=QI4xi4x8x6Q")
_ANSWER = struct.Struct("=QqiI")
# The offset of preadv2(2) that means the position of the descriptor.
_HERE = 2**64 - 1
# More threads of one process than this never read the source at once.
_READERS = 64
_TRIAL_BYTES = 4096
_TRIAL_SECONDS = 20
_SLOW_SECONDS = 60.0


class _Call(NamedTuple):
    """A read that waits for an answer; ``thread`` is the id of the one that reads."""

    id: int
    thread: int
    number: int
    descriptor: int
    size: int
    offset: int


class ReadServer:
    """Lets the reads of one process go on, once the bytes of the source are there.

    Pass ``descriptor`` to the process, then call :meth:`start`. Of the reads that fail,
    ``error`` keeps the first error; then ``failed``, a file descriptor, becomes
    readable, the read never ends, and the process is to be killed.
    """

    def __init__(self, source: SourceFile) -> None:
        self.error: BaseException | None = None
        self.failed = os.eventfd(0)
        found = source.path.stat()
        self._source = source
        self._size = found.st_size
        self._inode = (found.st_dev, found.st_ino)
        reads, self._reads_at = report.READS[os.uname().machine]
        self._vectors = (*reads[1:], *self._reads_at[1:])
        self._socket, self._end = socket.socketpair()
        self._stop = os.eventfd(0)
        self._lock = threading.Lock()
        self._waiting = 0
        self._since = self._waited = 0.0
        self._pool = ThreadPoolExecutor(_READERS, "source-read")
        self._thread = threading.Thread(
            target=self._serve, name="source-reads", daemon=True
        )

    @property
    def descriptor(self) -> int:
        """The end of a socket for :func:`report_reads` in the process."""
        return self._end.fileno()

    def start(self) -> None:
        """Serve the process, which has its own copy of ``descriptor`` by now."""
        self._end.close()
        self._thread.start()

    def close(self) -> None:
        """Stop serving; call this after the end of the process.

        Returns when no thread uses the source any more. A fetch is not interrupted.
        """
        os.eventfd_write(self._stop, 1)
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown()
        self._end.close()
        self._socket.close()
        os.close(self._stop)
        os.close(self.failed)

    def waited(self) -> float:
        """Return for how many seconds so far at least one read has waited."""
        with self._lock:
            now = time.monotonic() - self._since if self._waiting else 0.0
            return self._waited + now

    def _serve(self) -> None:
        listener = None
        try:
            listener = self._listener()
            while listener is not None and self._readable(listener):
                self._receive(listener)
        except Exception as error:  # noqa: BLE001 - the thread that runs raises it
            self._fail(error)
        finally:
            self._pool.shutdown()
            if listener is not None:
                os.close(listener)

    def _listener(self) -> int | None:
        """Return the listener that the process sends; None if it ends before."""
        if not self._readable(self._socket.fileno()):
            return None
        _, rights, _, _ = socket.recv_fds(self._socket, 1, 1, socket.MSG_CMSG_CLOEXEC)
        return rights[0] if rights else None

    def _readable(self, descriptor: int) -> bool:
        """Wait for a descriptor; return False at :meth:`close` or its end."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        found = dict(poll.poll())
        return self._stop not in found and bool(found[descriptor] & select.POLLIN)

    def _receive(self, listener: int) -> None:
        """Take one read; let it go on, or have the bytes fetched for it meanwhile."""
        data = bytearray(80)
        try:
            fcntl.ioctl(listener, _RECEIVE, data)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return  # the thread was killed meanwhile
            raise
        ident, thread, number, *words = _CALL.unpack(data)
        call = _Call(ident, thread, number, words[0] & 0xFFFFFFFF, words[2], words[3])
        wanted = self._wanted(call)
        if wanted is None:
            _go_on(listener, call)
        else:
            self._pool.submit(self._fetch, listener, call, *wanted)

    def _wanted(self, call: _Call) -> tuple[int, int] | None:
        """Return which bytes of the source a call reads; None if it reads none."""
        if self._source.complete:
            return None
        place = Path(f"/proc/{call.thread}/fd/{call.descriptor}")
        try:
            found = place.stat()
            if (found.st_dev, found.st_ino) != self._inode:
                return None
            stated = call.number in self._reads_at and call.offset != _HERE
            start = call.offset if stated else _position(call)
        except (FileNotFoundError, ProcessLookupError):
            return None  # the descriptor is closed: the read fails by itself
        if start >= self._size:
            return None
        # Their sizes lie in the memory of the process; no decoder uses these calls.
        end = self._size if call.number in self._vectors else start + call.size
        return start, min(end, self._size)

    def _fetch(self, listener: int, call: _Call, start: int, end: int) -> None:
        with self._lock:
            self._waiting += 1
            if self._waiting == 1:
                self._since = time.monotonic()
        try:
            self._source.ensure(start, end)
            _go_on(listener, call)
        except BaseException as error:  # noqa: BLE001 - the thread that runs raises it
            self._fail(error)
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._waited += time.monotonic() - self._since

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error
        os.eventfd_write(self.failed, 1)


def _go_on(listener: int, call: _Call) -> None:
    """Let a call go on; do nothing if its thread was killed meanwhile."""
    try:
        fcntl.ioctl(listener, _SEND, _ANSWER.pack(call.id, 0, 0, _CONTINUE))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _position(call: _Call) -> int:
    """Return the offset at which a descriptor of another process reads next."""
    path = Path(f"/proc/{call.thread}/fdinfo/{call.descriptor}")
    return int(path.read_text(encoding="ascii").split(None, 2)[1])


class _Trial:
    """A file with a hole that is filled with ones when it is asked for."""

    complete = False

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("wb") as file:
            file.truncate(_TRIAL_BYTES)

    def ensure(self, start: int, end: int) -> None:
        with self.path.open("r+b") as file:
            file.seek(start)
            file.write(b"1" * (min(end, _TRIAL_BYTES) - start))

    def ensure_all(self, spans: Iterable[tuple[int, int]]) -> None:
        for span in spans:
            self.ensure(*span)


class _Slow(Exception):
    """The trial did not end in time: that says more about now than about the host."""


_slow_until = 0.0


def refusal() -> str | None:
    """Return why reads cannot be reported on this host; None if they can.

    It is tried out once, in a process that reads a small file; if that was too slow,
    again after a minute.
    """
    global _slow_until  # noqa: PLW0603 - one for this process
    slow = f"a reported read did not end within {_TRIAL_SECONDS} seconds"
    if time.monotonic() < _slow_until:
        return slow
    try:
        return _try_once()
    except _Slow:
        _slow_until = time.monotonic() + _SLOW_SECONDS
        return slow


@functools.cache
def _try_once() -> str | None:
    with tempfile.TemporaryDirectory(prefix="reads-") as folder:
        return _try(_Trial(Path(folder) / "source"))


def _try(trial: _Trial) -> str | None:
    if reason := seccomp.refusal():
        return reason
    program = prepared.Main(report.__name__, [str(trial.path)])
    limits = Limits(memory=1 << 30, private=1 << 29, output=1 << 20, cpu=_TRIAL_SECONDS)
    how = layers.Confinement(sorted(layers.chosen("auto")), writes=False)
    reader, writer = os.pipe()
    with (
        os.fdopen(reader, "rb", buffering=0) as output,
        closing(ReadServer(trial)) as reads,
    ):
        try:
            fds = {"stdout": writer, "stderr": writer, server.READS: reads.descriptor}
            running = prepared.start(program, trial.path.parent, limits, how, fds)
        finally:
            os.close(writer)
        reads.start()
        ended, _, _ = select.select([output], [], [], _TRIAL_SECONDS)
        came = output.read(_TRIAL_BYTES) if ended else b""
        running.end()
    if came == b"1" * _TRIAL_BYTES:
        return None
    if not ended:
        raise _Slow
    lines = came.strip(b"\0").decode("utf-8", "replace").splitlines()
    return lines[-1] if lines else "a read was not reported before it went on"
