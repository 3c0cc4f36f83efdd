"""What a client costs before it does anything: the CPU of its imports.

``./dev bench imports`` runs Python anew for ``framemill --help``, ``framemill.Client``,
and the HTTP clients of the standard library and of others, all in turns, and prints the
least CPU of each, in seconds, and its ratio to Python alone.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version

from tests.conftest import ROOT
from tests.timing import least_cpu

COMMANDS = {
    "Python alone": ("-c", ""),
    "import http.client": ("-c", "import http.client"),
    "framemill.Client": ("-c", "from api.cli import Client"),
    "framemill --help": ("-m", "api.cli", "--help"),
    f"import httpx {version('httpx')}": ("-c", "import httpx"),
    f"import requests {version('requests')}": ("-c", "import requests"),
}


def measure(rounds: int) -> dict[str, float]:
    """Return the least CPU seconds of each command."""
    least = dict.fromkeys(COMMANDS, float("inf"))
    for _ in range(rounds):
        for name, words in COMMANDS.items():
            spent = least_cpu(*words, cwd=ROOT, times=1)
            least[name] = min(least[name], spent)
    return least


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="./dev bench imports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    least = measure(parser.parse_args().rounds)
    alone = least["Python alone"]
    for name, seconds in least.items():
        print(f"{name:<26}{seconds:6.3f} s {seconds / alone:6.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
