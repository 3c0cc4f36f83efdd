"""Shut a process off from all files but those it is given, by Landlock (landlock(7)).

A rule names a file, or a folder with all below it, and holds for the files themselves:
whatever path, link or mount leads to them. What is opened already stays open. Later
versions of the kernel's interface also refuse TCP, and signals and abstract Unix
sockets to processes outside. No privilege is needed, and nothing undoes it.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

# The same numbers on every machine.
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
# <linux/landlock.h>.
_EXECUTE, WRITE, _READ, _LIST, _REMOVE, _MAKE = 1, 2, 4, 8, 1 << 5, 1 << 8
_REFER, _TRUNCATE, _DEVICE = 1 << 13, 1 << 14, 1 << 15
# The rights that each version knows, and the size of its struct landlock_ruleset_attr.
_FIRST = _REFER - 1
_TCP, _SCOPES = 3, 3
_SINCE_NET, _SINCE_SCOPE = 4, 6
_OF_FILES = _EXECUTE | WRITE | _READ | _TRUNCATE | _DEVICE
_LIBC = ctypes.CDLL(None, use_errno=True)

# What may be done to a file, or to all below a folder. Nobody may make a link, a
# socket or a device: whoever reads the folder later would follow it.
RUN = _EXECUTE | _READ | _LIST
SEE = _READ | _LIST
CHANGE = SEE | WRITE | _TRUNCATE | _MAKE | _REMOVE
USE = _READ | WRITE


def version() -> int:
    """Return the version of the kernel's Landlock; raise OSError if it has none."""
    return _call(_CREATE, None, 0, _ASK_VERSION)


def refusal() -> str | None:
    """Return why this kernel shuts no process off; None if it does."""
    try:
        version()
    except OSError as error:
        return error.strerror
    return None


def restrict(rules: Iterable[tuple[str, int]]) -> None:
    """Allow this thread, and what it starts, only what the rules say, and no TCP.

    A rule is a path and RUN, SEE, CHANGE or USE. The process must have given up new
    privileges. Raises OSError if the kernel refuses, or a path is missing.
    """
    known = version()
    handled = _handled(known)
    words = struct.pack("=QQQ", handled, _TCP, _SCOPES)
    size = 24 if known >= _SINCE_SCOPE else 16 if known >= _SINCE_NET else 8
    ruleset = _call(_CREATE, words, size, 0)
    try:
        for path, rights in rules:
            _add(ruleset, path, rights & handled)
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _handled(known: int) -> int:
    """Return the rights that are refused unless a rule grants them."""
    added = ((2, _REFER), (3, _TRUNCATE), (5, _DEVICE))
    return _FIRST | sum(right for since, right in added if known >= since)


def _add(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, place)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: int | bytes | None) -> int:
    done = _LIBC.syscall(number, *arguments)
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return int(done)
