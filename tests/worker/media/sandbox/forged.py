"""A forged decoder: it runs where FFmpeg would, and tries to get out.

``python forged.py ATTACK FACTS`` prints ``done`` if the attack worked, ``refused`` and
the error if the system refused it. FACTS is JSON: see :mod:`siege`. It needs Python
alone, because it runs without the rest of the repository.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
FACTS = json.loads(sys.argv[2])
_CLONE_NEWUSER, _PTRACE_SEIZE, _PR_SET_PDEATHSIG = 0x10000000, 0x4206, 1


def _check(done: int) -> None:
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _send(kind: int, family: int, address: object) -> None:
    with socket.socket(family, kind) as out:
        out.connect(address)
        out.send(b"secret")


def _read_memory() -> None:
    # Of nothing, but the kernel checks before it looks.
    class Span(ctypes.Structure):
        _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t))

    data = ctypes.create_string_buffer(1)
    ours = Span(ctypes.addressof(data), 1)
    theirs = Span(FACTS["address"], 1)
    victim = FACTS["victim"]
    _check(
        LIBC.process_vm_readv(
            victim, *map(ctypes.byref, (ours,)), 1, ctypes.byref(theirs), 1, 0
        )
    )


def _fork() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


def _environment() -> None:
    if b"hush" not in Path(f"/proc/{FACTS['worker']}/environ").read_bytes():
        sys.exit("the environment was read, and the secret was not in it")


def _thread() -> None:
    ran = threading.Event()
    thread = threading.Thread(target=ran.set)
    thread.start()
    thread.join()
    os.kill(os.getpid(), 0)
    Path("made").write_bytes(Path("source").read_bytes())


def _execute() -> None:
    words = [sys.executable, "-I", "-S", "-c", "print('done', end='')"]
    os.execv(sys.executable, words)  # noqa: S606 - the attack


ATTACKS = {
    "work": _thread,
    "passwd": lambda: Path("/etc/passwd").read_bytes(),
    "environment": _environment,
    "other source": lambda: Path(FACTS["other"]).read_bytes(),
    "folder above": lambda: list(Path("..").iterdir()),
    "write": lambda: Path(FACTS["beside"]).write_bytes(b"here"),
    "truncate": lambda: os.truncate(FACTS["other"], 3),
    "symlink": lambda: Path("picture.png").symlink_to("/etc/passwd"),
    "link": lambda: os.link(FACTS["other"], "picture.jpg"),
    "owned by root": lambda: Path("locked").read_bytes(),
    "fork": _fork,
    "execute": _execute,
    "unshare": lambda: _check(LIBC.unshare(_CLONE_NEWUSER)),
    "tcp": lambda: _send(
        socket.SOCK_STREAM, socket.AF_INET, ("127.0.0.1", FACTS["tcp"])
    ),
    "udp": lambda: _send(
        socket.SOCK_DGRAM, socket.AF_INET, ("127.0.0.1", FACTS["udp"])
    ),
    "unix": lambda: _send(socket.SOCK_STREAM, socket.AF_UNIX, FACTS["unix"]),
    "abstract": lambda: _send(
        socket.SOCK_STREAM, socket.AF_UNIX, "\0" + FACTS["abstract"]
    ),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "socketpair": socket.socketpair,
    "signal": lambda: os.kill(FACTS["victim"], 0),
    "signal by file": lambda: fcntl.fcntl(1, fcntl.F_SETOWN, FACTS["victim"]),
    "trace": lambda: _check(LIBC.ptrace(_PTRACE_SEIZE, FACTS["victim"], 0, 0)),
    "memory": _read_memory,
    "outlive": lambda: _check(LIBC.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)),
    "renice": lambda: os.setpriority(os.PRIO_PROCESS, FACTS["victim"], 19),
}


def main() -> None:
    """Try the attack that the command line names."""
    try:
        ATTACKS[sys.argv[1]]()
    except OSError as error:
        print(f"refused: {error}", end="")
    else:
        print("done", end="")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    main()
