"""Choose which layers confine a decoder, and put them around a process.

Each layer stands by itself, so a fault in one leaves the others:

landlock
    No file but the decoder's own: it reads its source, sees the libraries, and changes
    its folder. No TCP; no signal and no trace beyond its own process.
namespaces
    The same by another view: other files have no name, and there is no network.
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.media.sandbox import calls, landlock, namespaces, seccomp
from worker.media.sandbox.limits import die_with

NAMES = ("landlock", "namespaces", "seccomp", "capabilities")
OFF, REQUIRED, NAMESPACES = "off", "required", "namespaces"
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


def wanted(mode: str) -> Sequence[str]:
    """Return the layers that a setting asks for on this host.

    Namespaces stand in for Landlock where the kernel has none; they cost more.
    """
    if mode == OFF:
        return ()
    if mode == NAMESPACES:
        return NAMES
    stands_in = fault("landlock") and not fault("namespaces")
    return ("namespaces" if stands_in else "landlock", "seccomp", "capabilities")


def chosen(mode: str) -> frozenset[str]:
    """Return the layers that are put around each process under a setting."""
    return frozenset(name for name in wanted(mode) if fault(name) is None)


def lacking(mode: str) -> dict[str, str]:
    """Return the layers that are not active under a setting, each with the reason."""
    if mode == OFF:
        return dict.fromkeys(wanted("auto"), f"{_SETTING}={OFF}")
    faults = ((name, fault(name)) for name in wanted(mode))
    return {name: reason for name, reason in faults if reason is not None}


def refusal(mode: str) -> str | None:
    """Return why a worker must not start under a setting; None if it may."""
    lacks = lacking(mode)
    if mode not in (REQUIRED, NAMESPACES) or not lacks:
        return None
    without = "; ".join(f"{name} ({reason})" for name, reason in lacks.items())
    return (
        f"{_SETTING}={mode}, but this host cannot confine decoders by {without}: "
        "see docs/explanation/sandbox.md for what each layer needs"
    )


@functools.cache
def fault(name: str) -> str | None:
    """Return why this host does not have a layer; None if it has."""
    if name == "landlock":
        return landlock.refusal()
    if name == "namespaces":
        return namespaces.refusal() or _too_few_files()
    if name == "seccomp":
        return seccomp.refusal() or _too_few_files()
    return None


def _too_few_files() -> str | None:
    """Return why there is no descriptor to execute from; None if there is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most > calls.PROGRAM:
        return None
    return f"ulimit -Hn allows {most} open files, and {calls.PROGRAM + 1} are needed"


def confine(how: Confinement, program: str | None, parent: int) -> None:
    """Put all layers but the filter of system calls around this process.

    ``program`` is what it executes next; None if it stays Python. ``parent`` is the
    process that it ends with. The folder is the current one. Raises OSError.
    """
    rules = _rules(how, program)
    if "namespaces" in how.layers:
        namespaces.enter(
            (path, bool(rights & landlock.WRITE)) for path, rights in rules
        )
        # The kernel forgets it when a process gains capabilities.
        die_with(parent)
    if "capabilities" in how.layers:
        _drop_capabilities()
    if "landlock" in how.layers:
        landlock.restrict(rules)


def filter_calls(how: Confinement) -> None:
    """Put the last layer around this process: after it, nothing can be set up."""
    if "seccomp" in how.layers:
        calls.restrict(os.getpid())


def _rules(how: Confinement, program: str | None) -> list[tuple[str, int]]:
    """Return the paths that a process may use, and what it may do with each."""
    rules = [*_common()]
    if program is None:
        rules += [(path, landlock.SEE) for path in _python()]
    else:
        real = Path(program).resolve()
        rules.append((str(real), landlock.RUN))
        # Where a program that is not the system's keeps its libraries.
        beside = real.parent.parent / "lib"
        if beside.is_dir():
            rules.append((str(beside), landlock.RUN))
    rules += [(path, landlock.SEE) for path in how.reads]
    return [*rules, (str(Path.cwd()), landlock.CHANGE if how.writes else landlock.SEE)]


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
