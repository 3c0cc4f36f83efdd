"""Child processes: start, watch, start again and end them. None outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.allinone.logs import LIMIT_BYTES, Log

_DIE_WITH_PARENT = Path(__file__).with_name("die_with_parent.py")
_POLL_SECONDS = 0.03
_TAIL_BYTES = 4000
# After these pauses a part that died is started again; one that lasted has all anew.
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
_LASTED_SECONDS = 60.0


class ChildDied(RuntimeError):
    """A part ended by itself; the text names it, its status and its last log lines."""


class NotReady(RuntimeError):
    """A part runs but did not answer in time."""


@dataclass(frozen=True)
class Part:
    """A program to run; ``ready`` returns True once the child of that pid serves."""

    name: str
    argv: list[str]
    ready: Callable[[int], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    fds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Child:
    """A running part."""

    part: Part
    process: subprocess.Popen[bytes]
    log: Log
    deaths: int = 0
    started: float = field(default_factory=time.monotonic)


class Children:
    """The supervisor's children, in the order they were started.

    Start them from the main thread: the kernel binds a child's life to the thread
    that forked it, not to the process. ``log_bytes`` is the size of a log at which it
    is rotated.
    """

    def __init__(
        self,
        root: Path,
        logs: Path,
        env: Mapping[str, str],
        log_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._root = root
        self._logs = logs
        self._log_bytes = log_bytes
        self._env = env
        self._children: list[Child] = []
        # When each part that died is due again, by its name.
        self._due: dict[str, float] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, part: Part) -> Child:
        """Start a part in a process group of its own, with its output in a log."""
        log = Log(self._logs / f"{part.name}.log", self._log_bytes)
        child = Child(part, self._spawn(part, log), log)
        self._children.append(child)
        return child

    def _spawn(self, part: Part, log: Log) -> subprocess.Popen[bytes]:
        die_with_parent = [
            sys.executable,
            "-I",
            "-S",
            str(_DIE_WITH_PARENT),
            str(os.getpid()),
        ]
        with os.fdopen(log.open(), "wb") as out:
            return subprocess.Popen(
                die_with_parent + part.argv,
                cwd=self._root,
                env={**self._env, **part.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                pass_fds=part.fds,
                start_new_session=True,
            )

    def await_ready(self, *children: Child, seconds: float = 120) -> None:
        """Wait until all serve; raise ChildDied or NotReady."""
        deadline = time.monotonic() + seconds
        for child in children:
            while not child.part.ready(child.process.pid):
                self.check()
                if time.monotonic() > deadline:
                    raise NotReady(
                        f"{child.part.name} did not answer within {seconds:.0f} s\n"
                        + _tail(child.log)
                    )
                time.sleep(_POLL_SECONDS)
        self.check()

    def check(self) -> None:
        """Raise ChildDied if any child has ended."""
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                raise ChildDied(_last_words(child, status))

    def restart_dead(self) -> list[str]:
        """Start again what has died; return what happened, in lines for people.

        Raises ChildDied for a part that died once more than there are pauses, and never
        lasted for a minute meanwhile.
        """
        said = []
        for number, child in enumerate(self._children):
            status = child.process.poll()
            if status is None:
                continue
            name, now = child.part.name, time.monotonic()
            if name not in self._due:
                # What is left of its group would be in the way of the next.
                _signal(child, signal.SIGKILL)
                pause = self._pause(child, status)
                self._due[name] = now + pause
                said.append(
                    f"{name} ended ({_manner(status)}): it is started again in "
                    f"{pause:g} s; its log: {child.log.path}"
                )
            elif now >= self._due[name]:
                del self._due[name]
                deaths = _deaths_in_a_row(child) + 1
                process = self._spawn(child.part, child.log)
                self._children[number] = Child(child.part, process, child.log, deaths)
                said.append(f"{name} was started again (process {process.pid})")
        return said

    def _pause(self, child: Child, status: int) -> float:
        deaths = _deaths_in_a_row(child)
        if deaths < len(_PAUSES):
            return _PAUSES[deaths]
        raise ChildDied(
            f"{child.part.name} died {deaths + 1} times in a row, and is given up\n"
            + _last_words(child, status)
        )

    def pids(self) -> dict[str, int]:
        """Return the process id of each part."""
        return {child.part.name: child.process.pid for child in self._children}

    def stop(self, seconds: float = 10) -> None:
        """End all, the last started first: by SIGTERM, then by SIGKILL to its group."""
        deadline = time.monotonic() + seconds
        for child in reversed(self._children):
            _signal(child, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.1, deadline - time.monotonic()))
            # Also for what is left of its group if it ended by itself.
            _signal(child, signal.SIGKILL)
            child.process.wait()
            child.log.flush()
        self._children.clear()


def _signal(child: Child, number: signal.Signals) -> None:
    try:
        if number is signal.SIGTERM:
            child.process.send_signal(number)
        else:
            os.killpg(child.process.pid, number)
    except ProcessLookupError:
        return  # it and its group are gone already


def _deaths_in_a_row(child: Child) -> int:
    """Return how often the part had died before, without lasting in between."""
    lasted = time.monotonic() - child.started >= _LASTED_SECONDS
    return 0 if lasted else child.deaths


def _last_words(child: Child, status: int) -> str:
    child.log.flush()
    return f"{child.part.name} ended ({_manner(status)})\n{_tail(child.log)}"


def _manner(status: int) -> str:
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"status {status}"


def _tail(log: Log) -> str:
    text = log.path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
    lines = "\n".join("    " + line for line in text.splitlines()[-15:])
    return f"  the end of {log.path}:\n{lines}"
