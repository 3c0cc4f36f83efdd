"""Report the reads of this process before they happen, to the process that serves them.

The kernel holds each read of a file until :mod:`worker.media.sandbox.reads`, in the
worker, lets it go on. A filter of seccomp(2) chooses the calls; it protects nothing.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from worker.media.sandbox import seccomp
from worker.media.sandbox.seccomp import ALLOW, EQUAL, GREATER, LOAD, NOTIFY, RETURN

_STANDARD_ERROR = 2
# Of each machine: the numbers of read and readv, and those of pread64, preadv and
# preadv2.
READS = {
    "x86_64": ((0, 19), (17, 295, 327)),
    "aarch64": ((63, 65), (67, 69, 286)),
}


def report_reads(descriptor: int) -> None:
    """Let every read of a file wait for the process behind a socket, and close that.

    ``descriptor`` is this end of a Unix socket. The other end gets the listener of
    seccomp_unotify(2). The filter holds for this thread, and for the threads and
    programs that it starts later. Raises OSError if the kernel refuses it.
    """
    audit = seccomp.machine().audit
    reads, reads_at = READS[os.uname().machine]
    program = seccomp.assemble(_filter(audit, reads + reads_at))
    end = socket.socket(fileno=descriptor)
    listener = seccomp.install(program, seccomp.NEW_LISTENER)
    # No file may be read before this, and no module imported: nobody would let the
    # read go on. (socket.send_fds imports one.)
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", listener))
    end.sendmsg([b"."], [rights])
    end.close()
    os.close(listener)


def _filter(audit: int, calls: tuple[int, ...]) -> list[seccomp.Instruction]:
    """Return the program that reports reads of descriptors after the standard ones.

    The calls of another machine (32-bit programs) go on.
    """
    go_on = (RETURN, 0, 0, ALLOW)
    # Jumps count the instructions to skip: to the next call, or to the descriptor.
    found = [(EQUAL, len(calls) - place, 0, call) for place, call in enumerate(calls)]
    return [
        (LOAD, 0, 0, seccomp.MACHINE_AT),
        (EQUAL, 1, 0, audit),
        go_on,
        (LOAD, 0, 0, seccomp.NUMBER_AT),
        *found,
        go_on,
        (LOAD, 0, 0, seccomp.FIRST_WORD_AT),
        (GREATER, 1, 0, _STANDARD_ERROR),
        go_on,
        (RETURN, 0, 0, NOTIFY),
    ]


def main(words: Sequence[str]) -> None:
    """Write a file to standard output: the trial of :func:`reads.refusal`."""
    os.write(1, Path(words[0]).read_bytes())
