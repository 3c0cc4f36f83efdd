"""Install filters of system calls (seccomp(2)) in the thread that calls this.

A filter is a program of classic BPF. Several may be installed, and the strictest answer
counts. Filters stay, whatever is executed later.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

# <linux/seccomp.h>, <linux/filter.h> and <linux/audit.h>. An answer of ERROR carries
# the error's number in its low bits.
ALLOW, NOTIFY, ERROR = 0x7FFF0000, 0x7FC00000, 0x00050000
LOAD, EQUAL, GREATER, ANY_BIT, RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
NUMBER_AT, MACHINE_AT, FIRST_WORD_AT = 0, 4, 16
NEW_LISTENER = 8
_SET_MODE_FILTER, _GET_ACTION_AVAILABLE = 1, 2
_LIBC = ctypes.CDLL(None, use_errno=True)
# What to do, how many to skip if it is true and if it is false, and with what.
Instruction = tuple[int, int, int, int]


class Machine(NamedTuple):
    """The number of a machine for the kernel, and that of seccomp(2) on it."""

    audit: int
    seccomp: int


MACHINES = {"x86_64": Machine(0xC000003E, 317), "aarch64": Machine(0xC00000B7, 277)}


def machine() -> Machine:
    """Return this machine; raise OSError if its system calls are not known here."""
    name = os.uname().machine
    if name not in MACHINES:
        raise OSError(f"system calls are known of {', '.join(MACHINES)}, not of {name}")
    return MACHINES[name]


def assemble(program: Sequence[Instruction]) -> bytes:
    """Return the instructions as the kernel reads them (struct sock_filter)."""
    return b"".join(struct.pack("HBBI", *one) for one in program)


def install(program: bytes, flags: int = 0) -> int:
    """Install a filter; return what seccomp(2) returns.

    The process must have given up new privileges, or be privileged. Raises OSError if
    the kernel refuses.
    """
    text = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are.
    where = struct.pack("HP", len(program) // 8, ctypes.addressof(text))
    return _call(_SET_MODE_FILTER, flags, where)


def refusal() -> str | None:
    """Return why this kernel filters no system calls; None if it does."""
    try:
        _call(_GET_ACTION_AVAILABLE, 0, struct.pack("I", ERROR))
    except OSError as error:
        return str(error)
    return None


def _call(operation: int, flags: int, argument: bytes) -> int:
    done = _LIBC.syscall(machine().seccomp, operation, flags, argument)
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
    return int(done)
