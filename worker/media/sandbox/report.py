"""Report the reads of this process before they happen, to the process that serves them.

The kernel holds each read of a file until :mod:`worker.media.sandbox.reads`, in the
worker, lets it go on. A filter of seccomp(2) chooses the calls; it protects nothing.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

# <linux/seccomp.h>, <linux/filter.h> and <linux/audit.h>.
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_LOAD, _EQUAL, _GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_WORD_AT = 0, 4, 16
_STANDARD_ERROR = 2
# Of each machine: its name for the kernel, the number of seccomp(2), those of read and
# readv, and those of pread64, preadv and preadv2.
MACHINES = {
    "x86_64": (0xC000003E, 317, (0, 19), (17, 295, 327)),
    "aarch64": (0xC00000B7, 277, (63, 65), (67, 69, 286)),
}
_LIBC = ctypes.CDLL(None, use_errno=True)


def report_reads(descriptor: int) -> None:
    """Let every read of a file wait for the process behind a socket, and close that.

    ``descriptor`` is this end of a Unix socket. The other end gets the listener of
    seccomp_unotify(2). The filter holds for this thread, and for the threads and
    programs that it starts later. Raises OSError if the kernel refuses it.
    """
    name = os.uname().machine
    if name not in MACHINES:
        raise OSError(f"reads can be reported on {', '.join(MACHINES)}, not on {name}")
    machine, seccomp, reads, reads_at = MACHINES[name]
    program = _filter(machine, reads + reads_at)
    text = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are.
    where = struct.pack("HP", len(program) // 8, ctypes.addressof(text))
    end = socket.socket(fileno=descriptor)
    listener = _LIBC.syscall(seccomp, _SET_MODE_FILTER, _NEW_LISTENER, where)
    if listener < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
    # No file may be read before this, and no module imported: nobody would let the
    # read go on. (socket.send_fds imports one.)
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", listener))
    end.sendmsg([b"."], [rights])
    end.close()
    os.close(listener)


def _filter(machine: int, calls: tuple[int, ...]) -> bytes:
    """Return the BPF program that reports reads of descriptors after the standard ones.

    The calls of another machine (32-bit programs) go on.
    """
    allow = (_RETURN, 0, 0, _ALLOW)
    # Jumps count the instructions to skip: to the next call, or to the descriptor.
    found = [(_EQUAL, len(calls) - place, 0, call) for place, call in enumerate(calls)]
    program = (
        (_LOAD, 0, 0, _MACHINE_AT),
        (_EQUAL, 1, 0, machine),
        allow,
        (_LOAD, 0, 0, _NUMBER_AT),
        *found,
        allow,
        (_LOAD, 0, 0, _FIRST_WORD_AT),
        (_GREATER, 1, 0, _STANDARD_ERROR),
        allow,
        (_RETURN, 0, 0, _NOTIFY),
    )
    return b"".join(struct.pack("HBBI", *one) for one in program)


def main(words: Sequence[str]) -> None:
    """Write a file to standard output: the trial of :func:`reads.refusal`."""
    os.write(1, Path(words[0]).read_bytes())
