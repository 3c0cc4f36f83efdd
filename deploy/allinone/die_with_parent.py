"""Become a program that the kernel ends when its parent ends.

Run as ``python -I -S die_with_parent.py PARENT PROGRAM ARG...``. PR_SET_PDEATHSIG
outlives exec, so however the supervisor is killed, none of its children stays.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_ORPHANED = 126


def main(argv: list[str]) -> None:
    """Have the kernel end this process with its parent, and exec the program."""
    parent, program = int(argv[1]), argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before prctl: then nobody would ever end us.
    if os.getppid() != parent:
        os._exit(_ORPHANED)
    os.execv(program[0], program)  # noqa: S606 - argv from parts.py, no shell


if __name__ == "__main__":
    main(sys.argv)
