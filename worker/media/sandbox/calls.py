"""Allow a decoder the system calls that it needs, and no others.

The list has what FFmpeg, PyAV and gifsicle need to read files, compute in threads and
write files. All else fails with ENOSYS, as if the kernel did not have it, so libraries
fall back to older calls. That includes what no list of dangers would name yet: a new
call is refused until somebody adds it here. So a decoder opens no socket of any kind,
starts and executes no program, sees and changes no other process, mounts nothing and
loads nothing into the kernel.

Some calls are allowed for some arguments only, and fail with EPERM for others:

- clone only for threads. What it does is in its first argument, but clone3 hides that
  in memory, where no filter can look; without clone3, the C library uses clone.
- kill and tgkill only for the process itself.
- execveat only for the open file :data:`PROGRAM`. That descriptor is closed by being
  executed, and is above the limit of open files, so it never exists again: a decoder is
  executed once.
- fcntl, ioctl and prctl only for what concerns a file's own flags, and the name of a
  thread. Others have the kernel send signals (F_SETOWN), type into a terminal, or let a
  decoder outlive the worker (PR_SET_PDEATHSIG).
- prlimit64 only to read the limits of the process itself.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from worker.media.sandbox import seccomp
from worker.media.sandbox.limits import OPEN_FILES
from worker.media.sandbox.seccomp import ALLOW, ANY_BIT, EQUAL, ERROR, LOAD, RETURN

# The descriptor from which a program is executed: no other call can make it, once the
# limit of open files is OPEN_FILES.
PROGRAM = OPEN_FILES
_CLONE_THREAD, _EMPTY_PATH = 0x00010000, 0x1000
# F_DUPFD to F_SETLKW, F_DUPFD_CLOEXEC, F_SETPIPE_SZ and F_GETPIPE_SZ.
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1031, 1032)
# TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONCLEX and FIOCLEX.
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)
# PR_SET_NAME, PR_GET_NAME and PR_SET_VMA (the name of a range of memory).
_PRCTL = (15, 16, 0x53564D41)
# Kinder to the processor than seccomp's default on Linux before 5.16: a decoder may
# spy on nobody but itself by what this would prevent.
_SPECULATE = 4
# Name, number on x86_64, number on aarch64 (which has only the newer form of some).
_ALWAYS = """
read 0 63, readv 19 65, pread64 17 67, preadv 295 69, preadv2 327 286, write 1 64,
writev 20 66, pwrite64 18 68, pwritev 296 70, pwritev2 328 287, lseek 8 62,
open 2 -, openat 257 56, close 3 57, close_range 436 436, dup 32 23, dup2 33 -,
dup3 292 24, pipe2 293 59, eventfd2 290 19, poll 7 -, ppoll 271 73, select 23 -,
pselect6 270 72, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -,
epoll_pwait 281 22, stat 4 -, fstat 5 80, lstat 6 -, newfstatat 262 79, statx 332 291,
statfs 137 43, fstatfs 138 44, access 21 -, faccessat 269 48, faccessat2 439 439,
readlink 89 -, readlinkat 267 78, getdents64 217 61, getcwd 79 17, chdir 80 49,
fchdir 81 50, umask 95 166, ftruncate 77 46, fallocate 285 47, fsync 74 82,
fdatasync 75 83, fadvise64 221 223, readahead 187 213, rename 82 -, renameat 264 38,
renameat2 316 276, unlink 87 -, unlinkat 263 35,
brk 12 214, mmap 9 222, mprotect 10 226, mremap 25 216, munmap 11 215, madvise 28 233,
mincore 27 232, msync 26 227, membarrier 324 283,
exit 60 93, exit_group 231 94, futex 202 98, set_robust_list 273 99,
get_robust_list 274 100, set_tid_address 218 96, rseq 334 293, arch_prctl 158 -,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136,
rt_sigsuspend 130 133, rt_sigtimedwait 128 137, sigaltstack 131 132,
restart_syscall 219 128, pause 34 -, sched_yield 24 124, sched_getaffinity 204 123,
sched_getparam 143 121, sched_getscheduler 145 120, sched_get_priority_max 146 125,
sched_get_priority_min 147 126, getpriority 140 141, getcpu 309 168,
nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114,
gettimeofday 96 169, time 201 -, times 100 153,
getpid 39 172, getppid 110 173, gettid 186 178, getpgid 121 155, getpgrp 111 -,
getsid 124 156, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177,
getgroups 115 158, getresuid 118 148, getresgid 120 150, getrlimit 97 163,
getrusage 98 165, getrandom 318 278, sysinfo 99 179, uname 63 160
"""
_CLONE, _EXECVEAT, _FCNTL_CALL, _IOCTL_CALL = (56, 220), (322, 281), (72, 25), (16, 29)
_KILL, _TGKILL, _PRCTL_CALL, _PRLIMIT = (62, 129), (234, 131), (157, 167), (302, 261)
_REFUSE = (RETURN, 0, 0, ERROR | errno.EPERM)
_UNKNOWN = (RETURN, 0, 0, ERROR | errno.ENOSYS)
_PASS = (RETURN, 0, 0, ALLOW)


def restrict(process: int) -> None:
    """Allow this thread, and what it starts and executes, only what the list has.

    ``process`` is the id of its process. Raises OSError if the kernel refuses.
    """
    seccomp.install(seccomp.assemble(_filter(process)), _SPECULATE)


def _filter(process: int) -> list[seccomp.Instruction]:
    audit = seccomp.machine().audit
    column = list(seccomp.MACHINES).index(os.uname().machine)
    always = _numbers(column)
    some = (
        (_CLONE, [(ANY_BIT, 0, (_CLONE_THREAD,))]),
        (_EXECVEAT, [(EQUAL, 0, (PROGRAM,)), (EQUAL, 4, (_EMPTY_PATH,))]),
        (_FCNTL_CALL, [(EQUAL, 1, _FCNTL)]),
        (_IOCTL_CALL, [(EQUAL, 1, _IOCTL)]),
        (_KILL, [(EQUAL, 0, (process,))]),
        (_TGKILL, [(EQUAL, 0, (process,))]),
        (_PRCTL_CALL, [(EQUAL, 0, _PRCTL)]),
        # The new limits are an address, of two words: there must be none.
        (_PRLIMIT, [(EQUAL, 0, (0, process)), (EQUAL, 2, (0,)), (EQUAL, 2.5, (0,))]),
    )
    rules: list[seccomp.Instruction] = []
    for numbers, checks in some:
        body = _checked(checks)
        rules += [(EQUAL, 0, len(body), numbers[column]), *body]
    # Jumps count the instructions to skip: here to the last one, past the rules.
    far = len(always) + len(rules)
    return [
        (LOAD, 0, 0, seccomp.MACHINE_AT),
        (EQUAL, 1, 0, audit),
        _UNKNOWN,
        (LOAD, 0, 0, seccomp.NUMBER_AT),
        *((EQUAL, far - at, 0, call) for at, call in enumerate(always)),
        *rules,
        _UNKNOWN,
        _PASS,
    ]


def _checked(
    checks: Sequence[tuple[int, float, Sequence[int]]],
) -> list[seccomp.Instruction]:
    """Return what refuses a call unless a word of each check is as it says.

    A check has a comparison, the place of an argument (and a half, if its high word is
    meant), and the values of which one must compare.
    """
    program: list[seccomp.Instruction] = []
    for comparison, argument, values in checks:
        program.append((LOAD, 0, 0, seccomp.FIRST_WORD_AT + int(8 * argument)))
        count = len(values)
        program += [(comparison, count - at, 0, one) for at, one in enumerate(values)]
        program.append(_REFUSE)
    return [*program, _PASS]


def _numbers(column: int) -> list[int]:
    rows = (row.split() for row in _ALWAYS.split(","))
    return [int(row[1 + column]) for row in rows if row[1 + column] != "-"]
