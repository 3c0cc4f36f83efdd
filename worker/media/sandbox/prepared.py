"""Have confined processes started by a prepared server, one of each worker process.

The server (:mod:`worker.media.sandbox.server`) is started when the first process is
asked for, and again if it has died, has started many or has grown. It ends with this
process, even if that is killed.

Ask from the main thread: the kernel ends the server with the *thread* that started it
(PR_SET_PDEATHSIG, prctl(2)), and with the server all that runs in it.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import InternalError
from worker.media.sandbox import server
from worker.media.sandbox.layers import Confinement
from worker.media.sandbox.limits import Limits

_ROOT = Path(__file__).resolve().parents[3]
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from worker.media.sandbox.server import main; main(sys.argv[2:])"
)
_ANSWER_SECONDS = 60.0
_MOST_STARTED = 2000
_MOST_BYTES = 256 * 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Main:
    """A module of ours whose ``main(words)`` is the program.

    The server imports it once, before it forks. So the import must start no thread. If
    ``main`` raises, the status is 1; ``sys.exit(TEXT)`` logs the text alone.
    """

    module: str
    words: Sequence[str]


@dataclass(frozen=True)
class End:
    """How a process ended; ``status`` is negative if a signal ended it.

    ``peak`` is in bytes, ``cpu`` in seconds. If the server died first, the process was
    killed with it: ``lost`` is then True and nothing else is known.
    """

    status: int = -9
    peak: int = 0
    cpu: float = 0.0
    lost: bool = False


class Confined:
    """A running process; :meth:`end` must be called once."""

    def __init__(self, pid: int, server: _Server) -> None:
        self.pid = pid
        self._server = server

    def end(self) -> End:
        """Kill what is left of the process and its group, and return how it ended."""
        self._server.running -= 1
        try:
            return End(**self._server.ask({"end": self.pid}))
        except _Died:
            return End(lost=True)


class _Died(Exception):
    """The server has died, or does not answer."""


class _Server:
    """This process's end of a server."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(_ANSWER_SECONDS)
        with theirs:
            words = [str(_ROOT), str(os.getpid()), str(theirs.fileno())]
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _PROGRAM, *words],
                env=server.ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._lock = threading.Lock()
        self.started = 0
        self.running = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, order: Mapping[str, Any], fds: Sequence[int] = ()) -> Any:
        """Send an order and return its answer; raise _Died or InternalError."""
        try:
            with self._lock:
                server.send(self._channel, order, fds)
                answer, _ = server.receive(self._channel)
        except (OSError, EOFError) as error:
            self.stop()
            raise _Died from error
        except BaseException:
            # Nobody would read the answer, and the next order would get it.
            self.stop()
            raise
        if "error" in answer:
            raise InternalError(f"a decoder could not be started: {answer['error']}")
        return answer

    def is_worn(self) -> bool:
        """Return True if it has died, or if another one should take its place."""
        if self._process.poll() is not None:
            return True
        much = self.started >= _MOST_STARTED or memory(self.pid).resident > _MOST_BYTES
        return much and not self.running

    def stop(self) -> None:
        """Kill it; the kernel kills what runs in it."""
        self._channel.close()
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Close what a fork of this process has inherited."""
        self._channel.close()


_lock = threading.RLock()
_current: _Server | None = None


def start(
    program: Sequence[str] | Main,
    cwd: Path,
    limits: Limits,
    how: Confinement,
    fds: Mapping[str, int],
) -> Confined:
    """Start a program in ``cwd``, in its own session, confined and under limits.

    A program is a list of words, the first of them a path, or a :class:`Main`. It gets
    copies of ``fds``: ``stdout`` and ``stderr`` as such, others where a word names them
    in braces. If it cannot be executed, its log says so and its status is 127. Raises
    InternalError if no process can be started.
    """
    order = {
        "module": program.module if isinstance(program, Main) else None,
        "words": list(program.words if isinstance(program, Main) else program),
        "cwd": str(cwd.resolve()),
        "limits": asdict(limits),
        "confinement": asdict(how),
        "fds": list(fds),
    }
    with _lock:
        for _ in range(2):
            chosen = _fresh()
            try:
                pid = chosen.ask(order, list(fds.values()))["pid"]
            except _Died:
                continue  # killed since the last order
            chosen.started += 1
            chosen.running += 1
            return Confined(pid, chosen)
    raise InternalError("the process that starts decoders dies at once")


def _fresh() -> _Server:
    global _current  # noqa: PLW0603 - one for this process
    if _current is not None and _current.is_worn():
        _current.stop()
        _current = None
    if _current is None:
        _current = _Server()
    return _current


def stop() -> None:
    """End the server of this process, if there is one, with all that runs in it."""
    global _current  # noqa: PLW0603 - one for this process
    with _lock:
        if _current is not None:
            _current.stop()
            _current = None


def _forget() -> None:
    global _current, _lock  # noqa: PLW0603 - one for this process
    _lock = threading.RLock()
    if _current is not None:
        _current.forget()
        _current = None


os.register_at_fork(after_in_child=_forget)
atexit.register(stop)


class Memory(NamedTuple):
    """The bytes of a process that are resident, and those that are its own."""

    resident: int = 0
    private: int = 0


def memory(pid: int) -> Memory:
    """Return the memory of a process now, none if it has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return Memory()
    return Memory(int(pages[1]) * _PAGE, int(pages[5]) * _PAGE) if pages else Memory()
