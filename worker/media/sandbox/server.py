"""A prepared process that forks one confined process for each file.

To start Python and to import PyAV costs more CPU than to probe a short film. So a
worker process keeps one such server (:mod:`worker.media.sandbox.prepared`), which
imports each module once. It forks a process for every order, and this process runs a
function of such a module or becomes FFmpeg. The server itself opens no file of a user.

Code between fork and exec can deadlock in a process with threads, and the worker has
some. The server has one thread; it refuses to fork otherwise.

An order and its answer are JSON, preceded by their length, on a Unix socket. The file
descriptors that the new process gets come beside the order. The end of the socket ends
the server, and the kernel ends the server's children with it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from worker.media.sandbox import layers
from worker.media.sandbox.calls import PROGRAM
from worker.media.sandbox.layers import Confinement
from worker.media.sandbox.limits import OPEN_FILES, Limits, confine, restrict
from worker.media.sandbox.report import report_reads

# Where the new process finds what comes beside an order, by name.
_STANDARD = {"stdout": 1, "stderr": 2}
_THREADS = Path("/proc/self/task")
# A decoder needs none of the worker's variables, which hold credentials.
ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
_LENGTH = struct.Struct("!I")
_MOST_FDS = 8
_FAILED = 1
_NOT_STARTED = 127
# The socket of a process whose reads are served, among its descriptors.
READS = "reads"


def send(channel: socket.socket, message: Any, fds: Sequence[int] = ()) -> None:
    """Send a message, with copies of file descriptors."""
    body = json.dumps(message).encode()
    data = _LENGTH.pack(len(body)) + body
    sent = socket.send_fds(channel, [data], list(fds))
    channel.sendall(data[sent:])


def receive(channel: socket.socket) -> tuple[Any, list[int]]:
    """Return the next message and its descriptors; raise EOFError after the last."""
    head, fds, _, _ = socket.recv_fds(
        channel, _LENGTH.size, _MOST_FDS, socket.MSG_CMSG_CLOEXEC
    )
    try:
        head += _exactly(channel, _LENGTH.size - len(head))
        return json.loads(_exactly(channel, _LENGTH.unpack(head)[0])), fds
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise


def _exactly(channel: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = channel.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)


def main(argv: Sequence[str]) -> None:
    """Serve the parent process ``argv[0]`` on the socket ``argv[1]`` until its end."""
    restrict(int(argv[0]), PROGRAM + 1)
    os.chdir("/")
    with socket.socket(fileno=int(argv[1])) as channel:
        while True:
            try:
                order, fds = receive(channel)
            except EOFError:
                return
            try:
                answer = _obey(order, fds)
            except Exception as error:  # noqa: BLE001 - the worker raises it
                answer = {"error": f"{type(error).__name__}: {error}"}
            finally:
                for fd in fds:
                    os.close(fd)
            send(channel, answer)


def _obey(order: Mapping[str, Any], fds: Sequence[int]) -> dict[str, Any]:
    if "end" in order:
        return _end(order["end"])
    return {"pid": _start(order, fds)}


def _start(order: Mapping[str, Any], fds: Sequence[int]) -> int:
    module = order["module"]
    if module is not None:
        importlib.import_module(module)
    if len(list(_THREADS.iterdir())) > 1:
        raise RuntimeError(f"a thread runs in the server, perhaps of {module}")
    server = os.getpid()
    pid = os.fork()
    if not pid:
        _become(order, dict(zip(order["fds"], fds, strict=True)), server)
    return pid


def _become(order: Mapping[str, Any], fds: Mapping[str, int], server: int) -> NoReturn:
    """Turn this new process into what the order asks for."""
    status = _NOT_STARTED
    try:
        os.setsid()
        for name, number in _STANDARD.items():
            os.dup2(fds[name], number)
        named = {name: fd for name, fd in fds.items() if name not in _STANDARD}
        _close_others(list(named.values()))
        os.chdir(order["cwd"])
        words = [_filled(word, named) for word in order["words"]]
        how, module = Confinement(**order["confinement"]), order["module"]
        # In another view its name may lead nowhere, and a filter allows none.
        by_name = not {"namespaces", "seccomp"} & set(how.layers)
        if module is None and not by_name:
            _open_program(words[0])
        confine(server, Limits(**order["limits"]))
        program = words[0] if module is None else None
        _enclose(how, program, server, named.get(READS))
        if module is None:
            _execute(words, by_name=by_name)
        else:
            status = _FAILED
            sys.modules[module].main(words)
            sys.stdout.flush()
            status = 0
    except SystemExit as end:
        sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 - the log says it, the status too
        traceback.print_exc()
    finally:
        os._exit(status)


def _close_others(kept: Sequence[int]) -> None:
    """Close all but standard files and ``kept``, which exec passes on."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        os.set_inheritable(fd, True)  # noqa: FBT003 - it takes no keyword
        first = fd + 1
    os.closerange(first, OPEN_FILES)


def _filled(word: str, fds: Mapping[str, int]) -> str:
    """Replace ``{NAME}`` by the pipe of that name, as FFmpeg writes it."""
    for name, fd in fds.items():
        word = word.replace(f"{{{name}}}", f"pipe:{fd}")
    return word


def _open_program(path: str) -> None:
    """Open what will be executed, as the descriptor that only this can be."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        script = os.pread(opened, 2, 0) == b"#!"
    except OSError as error:
        _give_up(f"cannot start {path}: {error.strerror}")
    if script:
        # The kernel would start another program, which the sandbox does not know.
        _give_up(f"cannot start {path}: a script; name the program that it starts")
    os.dup2(opened, PROGRAM, inheritable=False)
    os.close(opened)


def _enclose(
    how: Confinement, program: str | None, server: int, reads: int | None
) -> None:
    """Put the layers around this process, the filter of system calls last."""
    doing = "it cannot be confined"
    try:
        layers.confine(how, program, server)
        if reads is not None:
            doing = "its reads cannot be reported"
            report_reads(reads)
            # From here on no file may be read before the program runs.
            doing = "its system calls cannot be filtered"
        layers.filter_calls(how)
    except OSError as error:
        _give_up(f"cannot start, {doing}: {error}")


def _execute(words: list[str], *, by_name: bool) -> None:
    program: str | int = words[0] if by_name else PROGRAM
    try:
        os.execve(program, words, ENVIRONMENT)  # noqa: S606 - that is what it is for
    except OSError as error:
        _give_up(f"cannot start {words[0]}: {error.strerror}")


def _give_up(text: str) -> NoReturn:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    os._exit(_NOT_STARTED)


def _end(pid: int) -> dict[str, Any]:
    """Kill what is left of a process's group, and return how the process ended."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # It has not made its group yet, or the group has ended already.
        os.kill(pid, signal.SIGKILL)
    _, code, usage = os.wait4(pid, 0)
    return {
        "status": os.waitstatus_to_exitcode(code),
        "peak": usage.ru_maxrss * 1024,
        "cpu": usage.ru_utime + usage.ru_stime,
    }
