"""Choose which layers confine a decoder, and put them around a process.

Each layer stands by itself, so a fault in one leaves the others:

landlock
    No file but the decoder's own: it reads its source, sees the libraries, and changes
    its folder. No TCP; no signal and no trace beyond its own process.
seccomp
    No system call but those of :mod:`worker.media.sandbox.calls`: no socket, no second
    program or process, nothing that concerns another process.
capabilities
    Nothing that root may do beyond others. The user stays the same: files of a source
    or a store belong to the worker's user, and only that user can be sure to read them.

The limits of :mod:`worker.media.sandbox.limits`, an environment without secrets and no
new privileges come on top, always.
"""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import struct
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.media.sandbox import calls, landlock, seccomp

NAMES = ("landlock", "seccomp", "capabilities")
OFF, REQUIRED = "off", "required"
_SETTING = "FRAMEMILL_ENGINE_SANDBOX"
# <linux/prctl.h> and <linux/capability.h>.
_PR_CAPBSET_DROP = 24
_CAPABILITIES = 64
_VERSION_3 = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)
# What the loader, the C library and Python look at.
_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_SEEN = ("/etc/ld.so.cache", "/sys/devices/system/cpu", "/dev/urandom")
_USED = ("/dev/null",)


@dataclass(frozen=True)
class Confinement:
    """What confines one process: layers by name, and what it may read beside them.

    It may also read its folder and, with ``writes``, change what is in it.
    """

    layers: Sequence[str] = ()
    reads: Sequence[str] = ()
    writes: bool = True


@functools.cache
def missing() -> Mapping[str, str]:
    """Return the layers that this host does not have, each with the reason."""
    found = {}
    try:
        landlock.version()
    except OSError as error:
        found["landlock"] = error.strerror or str(error)
    if reason := seccomp.refusal() or _too_few_files():
        found["seccomp"] = reason
    return found


def _too_few_files() -> str | None:
    """Return why there is no descriptor to execute from; None if there is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most > calls.PROGRAM:
        return None
    return f"ulimit -Hn allows {most} open files, and {calls.PROGRAM + 1} are needed"


def chosen(mode: str) -> frozenset[str]:
    """Return the layers that a setting and this host have."""
    return frozenset() if mode == OFF else available()


def available() -> frozenset[str]:
    """Return all layers that this host has."""
    return frozenset(NAMES) - missing().keys()


def lacking(mode: str) -> Mapping[str, str]:
    """Return the layers that are not active under a setting, each with the reason."""
    return dict.fromkeys(NAMES, f"{_SETTING}={OFF}") if mode == OFF else missing()


def refusal(mode: str) -> str | None:
    """Return why a worker must not start under a setting; None if it may."""
    if mode != REQUIRED or not missing():
        return None
    without = "; ".join(f"{name} ({reason})" for name, reason in missing().items())
    return (
        f"{_SETTING}={REQUIRED}, but this host cannot confine decoders by {without}: "
        "see docs/explanation/sandbox.md for what each layer needs"
    )


def confine(how: Confinement, program: str | None) -> None:
    """Put all layers but the filter of system calls around this process.

    ``program`` is what it executes next; None if it stays Python. The folder is the
    current one. Raises OSError.
    """
    if "capabilities" in how.layers:
        _drop_capabilities()
    if "landlock" in how.layers:
        landlock.restrict(_rules(how, program))


def filter_calls(how: Confinement) -> None:
    """Put the last layer around this process: after it, nothing can be set up."""
    if "seccomp" in how.layers:
        calls.restrict(os.getpid())


def _rules(how: Confinement, program: str | None) -> Iterator[tuple[str, int]]:
    yield from _common()
    if program is None:
        yield from ((path, landlock.SEE) for path in _python())
    else:
        real = Path(program).resolve()
        yield str(real), landlock.RUN
        # Where a program that is not the system's keeps its libraries.
        beside = real.parent.parent / "lib"
        if beside.is_dir():
            yield str(beside), landlock.RUN
    yield from ((path, landlock.SEE) for path in how.reads)
    yield ".", landlock.CHANGE if how.writes else landlock.SEE


@functools.cache
def _common() -> Sequence[tuple[str, int]]:
    rules = [(path, landlock.RUN) for path in _LIBRARIES]
    rules += [(path, landlock.SEE) for path in _SEEN]
    rules += [(path, landlock.USE) for path in _USED]
    return [rule for rule in rules if Path(rule[0]).exists()]


@functools.cache
def _python() -> Sequence[str]:
    """Return the folders of Python's modules: some are imported at their first use."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = {sysconfig.get_path(name) for name in names}
    return sorted(path for path in paths if Path(path).is_dir())


def _drop_capabilities() -> None:
    """Drop what root may do, also for what is executed later."""
    for number in range(_CAPABILITIES):
        # Refused to those that are not privileged, and past the last capability.
        if _LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            break
    # struct __user_cap_header_struct of this thread, and two empty sets of each kind.
    if _LIBC.capset(struct.pack("Ii", _VERSION_3, 0), bytes(24)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"capset: {os.strerror(code)}")
