"""What a thread holds while its process forks."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

# Each runs in a process of its own: pytest's has threads that nobody asked for.
_SECONDS = 20


def run(program: str, *words: str) -> str:
    """Run a program that must end soon; return its standard output."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *words],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_process_forked_while_the_copies_are_tidied_keeps_no_lock(
    tmp_path: Path,
) -> None:
    program = """
        import os, signal, sys, threading, time
        from pathlib import Path
        from common.settings.sections import Worker
        from worker.source.copies import Copies

        copies = Copies(Worker(scratch=Path(sys.argv[1])))
        inside = threading.Event()

        def tidy():
            with copies._locked():
                inside.set()
                time.sleep(0.3)

        tidying = threading.Thread(target=tidy)
        tidying.start()
        inside.wait()
        child = os.fork()
        if not child:
            signal.alarm(60)  # ends it by itself
            time.sleep(60)
        tidying.join()
        # As another process would, whatever this one holds.
        locked = threading.Thread(target=copies.tidy, daemon=True)
        locked.start()
        locked.join(5)
        os.kill(child, signal.SIGKILL)
        print("stuck" if locked.is_alive() else "free", flush=True)
        os._exit(0)
    """
    assert run(program, str(tmp_path)) == "free\n"


def test_a_process_forked_while_a_line_is_written_can_write_its_own() -> None:
    program = """
        import logging, os, signal, sys, threading, time
        import structlog
        from common.settings.sections import Log
        from common.telemetry.logging import configure

        class Slow:
            def __init__(self):
                self.inside = threading.Event()

            def write(self, text):
                if "slow" in text:
                    self.inside.set()
                    time.sleep(0.3)

            def flush(self):
                pass

            def isatty(self):
                return False

        for name in ("structlog", "logging"):
            sys.stderr = Slow()
            configure(Log(format="json"))
            log = structlog.get_logger() if name == "structlog" else logging.getLogger()
            writing = threading.Thread(target=log.error, args=["slow"])
            writing.start()
            sys.stderr.inside.wait()
            child = os.fork()
            if not child:
                signal.alarm(5)
                log.error("mine")
                os._exit(0)
            _, status = os.waitpid(child, 0)
            writing.join()
            print(name, os.waitstatus_to_exitcode(status), flush=True)
    """
    assert run(program) == "structlog 0\nlogging 0\n"
