"""Break every part of the service under load, and count what became of the jobs.

--minutes   the long form: tests/chaos/long.py
--recovery  the time to recover from each kind of fault: tests/chaos/recovery.py
--burst     jobs at once: tests/chaos/burst.py
--versions  a deploy and its withdrawal amid load: tests/chaos/versions.py
--anchor    what plain Celery loses: tests/chaos/anchor.py

Each of these files says at its head what is done, and what must hold.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.chaos import anchor, burst, long, recovery, versions
from tests.chaos.faults import KINDS
from tests.conftest import ROOT


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the arguments; ends the program with a text for those that are wrong."""
    parser = argparse.ArgumentParser(
        prog="./dev chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    text = "at least N minutes, 50 N jobs and 5 N faults"
    what.add_argument("--minutes", type=float, metavar="N", help=text)
    text = "each kind of fault, or each KIND, once"
    what.add_argument("--recovery", nargs="*", metavar="KIND", help=text)
    text = "accept so many jobs at once, run one in twenty, cancel the others"
    what.add_argument("--burst", type=int, metavar="JOBS", help=text)
    text = "replace the processes of that commit by those of this checkout, and back"
    what.add_argument("--versions", metavar="REVISION", help=text)
    text = "20,000 messages, 60 kills"
    what.add_argument("--anchor", action="store_true", help=text)
    text = "the order of jobs and faults; default: 1"
    parser.add_argument("--seed", type=int, default=1, metavar="N", help=text)
    text = "a new folder for table, logs and data; default: .data/chaos-PROCESS"
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help=text)
    given = parser.parse_args(argv)
    for kind in given.recovery or ():
        if kind not in KINDS:
            parser.error(f"no such kind: {kind!r}; there are: {', '.join(KINDS)}")
    if given.minutes is not None and given.minutes <= 0:
        parser.error(f"--minutes is {given.minutes:g}: it must be over 0")
    if given.burst is not None and given.burst < burst.DRAWN:
        parser.error(f"--burst is {given.burst}: it must be at least {burst.DRAWN}")
    return given


def main(argv: list[str]) -> int:
    """Run the command; return its exit status."""
    given = arguments(argv)
    folder = (given.folder or ROOT / ".data" / f"chaos-{os.getpid()}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    holds = True
    if given.minutes is not None:
        text, holds = long.long_form(folder, given.minutes, given.seed)
    elif given.recovery is not None:
        text, holds = recovery.recovery(folder, given.recovery or list(KINDS))
    elif given.burst is not None:
        counted = burst.burst(folder, given.burst, given.seed)
        text, holds = burst.table(counted), counted.holds
    elif given.versions is not None:
        done = versions.deploy(folder, given.versions, given.seed)
        text, holds = versions.table(done), done.holds
    else:
        text = anchor.table(anchor.count(anchor.MESSAGES, anchor.KILLS))
    (folder / "table.md").write_text(text + "\n")
    print(text, flush=True)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
