"""What processes use, with those that have ended and those of a forked server."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.bench import usage

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
# A server that forks a child for each file, below a process that waits.
SERVER = f"""
import os, subprocess, sys
child = os.fork()
if child == 0:
    for _ in range(2):
        if os.fork() == 0:
            exec({BURN!r})
            os._exit(0)
        os.wait()
    os.write(1, b"done")
    sys.stdin.read()
    os._exit(0)
os.wait()
"""


def test_a_tree_includes_living_grandchildren_and_the_children_they_waited_for():
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.read(4)
        spent = usage.cpu_seconds({"tree": process.pid, "none": 2**22 + 1})
        living = usage.processes(process.pid)
        own = sum(map(usage.own_seconds, living))
        process.stdin.close()

    assert spent["tree"] >= 0.55
    assert own <= spent["tree"] - 0.55
    assert spent["none"] == 0
    assert len(living) == 2


def test_a_command_has_its_cpu_and_memory_and_one_that_fails_is_an_error():
    used = usage.run([sys.executable, "-c", BURN + "x = bytearray(50_000_000)"])

    assert used.wall >= used.cpu >= 0.3
    assert used.memory >= 50_000_000
    with pytest.raises(subprocess.CalledProcessError):
        usage.run([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_peak_of_a_child_is_seen_while_it_lives():
    with usage.peaks(os.getpid()) as found:
        large = "import time; x = bytearray(80_000_000); time.sleep(0.5)"
        subprocess.run([sys.executable, "-c", large], check=True)

    assert max(size for size, name in found.values() if large in name) >= 80_000_000
