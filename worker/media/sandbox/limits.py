"""Limit the process that calls this: what it may use, and how long it lives.

The limits outlast exec. They are SIGKILL when the parent thread dies (PR_SET_PDEATHSIG,
Linux), no new privileges, address space, private memory, largest file, CPU time, open
files, no core dump, low priority, umask 077.

Private memory (RLIMIT_DATA, from Linux 4.7) is what counts for a host: all that a
process writes to alone, however fast it takes it. The kernel counts what is allocated,
used or not, so the stacks of FFmpeg's many threads are small (RLIMIT_STACK, which glibc
takes for a thread): 8 MiB each would be 400 MiB in a preview that uses 150.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from dataclasses import dataclass

OPEN_FILES = 256
# Numbers of <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_NICENESS = 10
_ORPHANED = 126
_STACK_BYTES = 2 * 1024 * 1024
# Loaded once: after a fork, and under the limits, it may be too late.
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Limits:
    """The limits of one process: sizes in bytes, ``cpu`` in seconds.

    ``memory`` is its address space, ``private`` what of it is its own and writable.
    """

    memory: int
    private: int
    output: int
    cpu: int


def die_with(parent: int) -> None:
    """Have the kernel end this process when the thread that started it ends.

    ``parent`` is the process of that thread.
    """
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # If the parent died before prctl, no signal will ever come.
    if os.getppid() != parent:
        os._exit(_ORPHANED)


def die_with_parent() -> None:
    """Have the kernel end this process when the thread that started it ends."""
    die_with(os.getppid())


def restrict(parent: int, open_files: int) -> None:
    """Apply the limits that are the same for each process of the sandbox."""
    die_with(parent)
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    _lower(resource.RLIMIT_NOFILE, open_files)
    _lower(resource.RLIMIT_CORE, 0)
    os.umask(0o077)


def confine(parent: int, limits: Limits) -> None:
    """Apply all limits to a process that decodes."""
    restrict(parent, OPEN_FILES)
    _lower(resource.RLIMIT_AS, limits.memory)
    _lower(resource.RLIMIT_DATA, limits.private)
    _lower(resource.RLIMIT_STACK, _STACK_BYTES)
    _lower(resource.RLIMIT_FSIZE, limits.output)
    _lower(resource.RLIMIT_CPU, limits.cpu)
    # Python ignores SIGXFSZ and SIGPIPE, and ignored signals stay ignored
    # after exec; a write over the limit then fails with EFBIG, which FFmpeg reports.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.nice(_NICENESS)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))
