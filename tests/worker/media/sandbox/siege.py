"""Run a forged decoder under chosen layers, and print what its attacks achieved.

``python siege.py ROOT RUNS``: RUNS is JSON, a list of ``[attack, layers]``. It prints a
list with what the decoder printed in each. It is the worker of the scene: its
environment has a secret, it serves sockets, owns a second process, and another job's
source lies beside the decoder's folder. It needs Python alone, so that any user can run
it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT, RUNS = sys.argv[1:3]
sys.path.insert(0, ROOT)

from worker.media.ffmpeg import process  # noqa: E402 - after its place is known
from worker.media.sandbox import prepared  # noqa: E402
from worker.media.source_file import LocalFile  # noqa: E402

MIB = 1024 * 1024
FORGED = (Path(__file__).parent / "forged.py").read_text(encoding="utf-8")
# A victim that anybody of its user may trace: some kernels allow only descendants.
VICTIM = """
import ctypes
held = ctypes.create_string_buffer(b"secret")
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
print(ctypes.addressof(held), flush=True)
input()
"""


def _serve(stack: ExitStack, family: int, kind: int, address: Any) -> socket.socket:
    listener = stack.enter_context(socket.socket(family, kind))
    listener.bind(address)
    if kind == socket.SOCK_STREAM:
        listener.listen(100)
    return listener


def _scene(stack: ExitStack, folder: Path) -> dict[str, Any]:
    loopback, name = ("127.0.0.1", 0), f"siege-{os.getpid()}"
    inet, unix, stream = socket.AF_INET, socket.AF_UNIX, socket.SOCK_STREAM
    tcp = _serve(stack, inet, stream, loopback)
    udp = _serve(stack, inet, socket.SOCK_DGRAM, loopback)
    _serve(stack, unix, stream, str(folder / "socket"))
    _serve(stack, unix, stream, "\0" + name)
    words = [sys.executable, "-I", "-S", "-c", VICTIM]
    pipe = subprocess.PIPE
    victim = stack.enter_context(subprocess.Popen(words, stdin=pipe, stdout=pipe))
    stack.callback(victim.kill)
    return {
        "worker": os.getpid(),
        "victim": victim.pid,
        "address": int(victim.stdout.readline()) if victim.stdout else 0,
        "tcp": tcp.getsockname()[1],
        "udp": udp.getsockname()[1],
        "unix": str(folder / "socket"),
        "abstract": name,
        "other": str(folder / "other"),
        "beside": str(folder / "beside"),
    }


def _attack(folder: Path, attack: str, layers: list[str], facts: object) -> str:
    work, source = Path(tempfile.mkdtemp(dir=folder)), folder / "source"
    (work / "source").symlink_to(source)
    (work / "locked").touch(mode=0)
    (folder / "other").write_text("of another job")
    # Where other files have no name, Python finds its modules by its own alone.
    python = str(Path(sys.executable).resolve())
    words = [python, "-I", "-S", "-c", FORGED, attack, json.dumps(facts)]
    bounds = process.Bounds(
        1024 * MIB, 512 * MIB, MIB, 60, 60, 1000, layers=frozenset(layers)
    )
    done = process.run(words, cwd=work, bounds=bounds, source=LocalFile(source))
    if (folder / "beside").exists():
        (folder / "beside").unlink()
    return done.stdout.decode() or done.log


def main() -> None:
    """Set the scene and make the runs, all as the user of this process."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "source").write_text("of this job")
        facts = _scene(stack, folder)
        results = [_attack(folder, *run, facts) for run in json.loads(RUNS)]
        prepared.stop()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
