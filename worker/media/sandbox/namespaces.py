"""Show a process a machine in which other files and networks do not exist.

The process gets a user namespace, in which alone it may do the rest, a file system of
the folders and files that it is given, and a network without any connection
(namespaces(7)). It needs no privilege where users may make namespaces. A mount names
paths, so what is not mounted has no name here; /proc is not.

Other users' files keep their owners, who appear as nobody. The process keeps its user
and, for the time being, its id.
"""

from __future__ import annotations

import ctypes
import functools
import os
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

# <linux/sched.h>, <linux/mount.h> and <linux/prctl.h>.
_NEW_MOUNTS, _NEW_HOST, _NEW_IPC = 0x00020000, 0x04000000, 0x08000000
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_EXECUTION = 1, 2, 4, 8
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1 << 5, 1 << 12, 1 << 14, 1 << 18
_DETACH = 2
_PR_SET_DUMPABLE = 4
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
# Flags of a mount that a user namespace may not take away.
_KEPT = _READ_ONLY | _NO_DEVICES | _NO_EXECUTION
# Where the new file system is put together; it exists everywhere.
_BASE = "/tmp"  # noqa: S108 - nothing is written to the folder itself
_ROOT = Path(__file__).resolve().parents[3]
_TRIAL = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from worker.media.sandbox.namespaces import enter; enter([('/usr/lib', False)])"
)
_LIBC = ctypes.CDLL(None, use_errno=True)


def enter(shown: Iterable[tuple[str, bool]]) -> None:
    """Move this process to a view with the paths of ``shown``, and no others.

    Each is an existing file or folder, and whether it may be changed. The current
    folder stays the current one, if it is shown. Raises OSError.
    """
    folder, user, group = Path.cwd(), os.geteuid(), os.getegid()
    spaces = _NEW_USER | _NEW_MOUNTS | _NEW_NET | _NEW_IPC | _NEW_HOST
    _check(_LIBC.unshare(spaces), "unshare")
    # The kernel has shut /proc/self, because the process has gained capabilities.
    _check(_LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    _mount("none", "/", _RECURSIVE | _PRIVATE)
    # The paths are opened first, since one of them may lie where the rest is built.
    opened = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC), w) for path, w in shown]
    _mount("tmpfs", _BASE, _NO_SETUID | _NO_DEVICES, "tmpfs")
    for path, place, writable in opened:
        _show(path, place, writable=writable)
        os.close(place)
    _enter_base()
    if folder.exists():
        os.chdir(folder)


@functools.cache
def refusal() -> str | None:
    """Return why a process cannot be moved on this host; None if it can.

    It is tried out once, in a process of its own.
    """
    words = [sys.executable, "-I", "-S", "-c", _TRIAL, str(_ROOT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = done.stderr.strip().splitlines()
    if done.returncode == 0:
        return None
    return lines[-1] if lines else f"a trial ended with status {done.returncode}"


def _show(path: str, place: int, *, writable: bool) -> None:
    """Mount an opened file or folder below the base, under its own path."""
    target = Path(_BASE + path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(os.fstat(place).st_mode):
        target.mkdir(exist_ok=True)
    elif not target.exists():
        target.touch()
    _mount(f"/proc/self/fd/{place}", str(target), _BIND | _RECURSIVE)
    kept = os.statvfs(target).f_flag & _KEPT
    flags = kept | _NO_SETUID | (0 if writable else _READ_ONLY)
    _mount("none", str(target), _BIND | _REMOUNT | flags)


def _enter_base() -> None:
    """Make the base the root, and leave the old one behind (pivot_root(2))."""
    os.chdir(_BASE)
    number = _PIVOT_ROOT[os.uname().machine]
    _check(_LIBC.syscall(number, b".", b"."), "pivot_root")
    _check(_LIBC.umount2(b".", _DETACH), "umount")
    _mount("none", "/", _BIND | _REMOUNT | _READ_ONLY | _NO_SETUID | _NO_DEVICES)


def _mount(source: str, target: str, flags: int, kind: str | None = None) -> None:
    named = kind and kind.encode()
    done = _LIBC.mount(
        source.encode(), target.encode(), named, ctypes.c_ulong(flags), None
    )
    _check(done, f"mount on {target}")


def _check(done: int, doing: str) -> None:
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{doing}: {os.strerror(code)}")
