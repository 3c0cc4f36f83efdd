"""Limit this process, then become the decoder.

Run as ``python -I -S launcher.py PARENT MEMORY OUTPUT CPU -- PROGRAM ARG...``. This is
a program and not a ``preexec_fn``, because code that runs between fork and exec can
deadlock in a process with threads (the worker's heartbeat is one). It imports the
standard library alone, so that it starts in about 10 ms.

It sets limits that exec inherits: SIGKILL when the parent thread dies
(PR_SET_PDEATHSIG, Linux), no new privileges, address space, largest file, CPU time,
open files, no core dump, low priority, umask 077.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

# Numbers of <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_OPEN_FILES = 256
_NICENESS = 10
_ORPHANED = 126
_NOT_STARTED = 127


def _die_with(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # If the parent died before prctl, no signal will ever come.
    if os.getppid() != parent:
        os._exit(_ORPHANED)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Have the kernel end this process when the thread that started it ends."""
    _die_with(os.getppid())


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def confine(parent: int, memory: int, output: int, cpu: int) -> None:
    """Apply all limits to this process; sizes in bytes, ``cpu`` in seconds."""
    _die_with(parent)
    _lower(resource.RLIMIT_AS, memory)
    _lower(resource.RLIMIT_FSIZE, output)
    _lower(resource.RLIMIT_CPU, cpu)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_CORE, 0)
    # Python ignores SIGXFSZ and SIGPIPE, and ignored signals stay ignored
    # after exec; a write over the limit then fails with EFBIG, which FFmpeg reports.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.umask(0o077)
    os.nice(_NICENESS)


def main(argv: list[str]) -> None:
    """Confine this process and exec the program after ``--``."""
    parent, memory, output, cpu = (int(word) for word in argv[1:5])
    program = argv[6:]
    confine(parent, memory, output, cpu)
    try:
        os.execv(program[0], program)  # noqa: S606 - that is what it is for
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error.strerror}\n")
        os._exit(_NOT_STARTED)


if __name__ == "__main__":
    main(sys.argv)
