"""The command line: ``framemill`` for people and scripts.

``submit`` and ``batch`` talk to the public HTTP API alone. The others are for operators
and run the server's code: they reach the job store of the service that runs here, or
the one that FRAMEMILL_* variables name. ``up`` starts the service.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import batch, local_service, operators, server_code, submit, up
from .display import warn
from .errors import CommandFailed, Refused, Unreached
from .version import version

_WRONG, _REFUSED, _INTERRUPTED = 2, 4, 130
_DESCRIPTION = """\
Make thumbnails, GIFs, previews and storyboards of videos with a Framemill service.

submit and batch talk to the service over HTTP. The other commands are for operators:
they need the server's code. They use the job store of the service that ./dev or
framemill up runs here, or the one that the FRAMEMILL_* variables name.
"""
_EXIT_CODES = """\
exit codes:
  0    success
  1    a job failed or was cancelled
  2    wrong usage or settings, or a file that cannot be read
  3    a job or a batch is partial
  4    the service refused, or did not answer
  5    a job or a batch has not ended within --timeout
  130  interrupted by Ctrl-C
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    given = sys.argv[1:] if words is None else list(words)
    options = _parser().parse_args(given)
    options.words = given
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (Refused, Unreached, CommandFailed) as error:
        _explain(error)
        return _REFUSED
    except (OSError, ValueError) as error:
        _explain(error)
        return _WRONG
    except KeyboardInterrupt:
        warn("interrupted")
        return _INTERRUPTED


def _explain(error: Exception) -> None:
    if isinstance(error, Refused):
        _explain_refusal(error.problem, str(error))
    elif isinstance(error, OSError) and error.filename:
        warn(f"{error.filename}: {error.strerror}")
    else:
        warn(str(error))


def _explain_refusal(problem: dict[str, Any], detail: str) -> None:
    """Print every fault once: the problem's own detail repeats the first one's."""
    faults = problem.get("faults") or [problem | {"detail": detail, "pointer": None}]
    lines = []
    for fault in faults:
        pointer = f"{fault['pointer']}: " if fault.get("pointer") else ""
        hint = f" ({fault['hint']})" if fault.get("hint") else ""
        lines.append(f"{pointer}{fault['detail']}{hint}")
    if len(lines) == 1:
        warn(f"refused: {lines[0]}")
        return
    warn(f"refused: the request has {len(lines)} faults")
    for line in lines:
        warn(f"  {line}")


def _parser() -> argparse.ArgumentParser:
    parser = _WholeWords(
        prog=_program(),
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the version, and exit"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    submit.add_arguments(
        commands.add_parser("submit", help="make pictures of videos, one job for each")
    )
    batch.add_arguments(
        commands.add_parser("batch", help="make pictures of many videos, in one batch")
    )
    up.add_commands(commands)
    operators.add_commands(commands)
    parser.set_defaults(program=parser.prog)
    return parser


class _Version(argparse.Action):
    """Print the version of this build, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version and exit."""
        print(f"framemill {version()}")
        parser.exit()


class _WholeWords(argparse.ArgumentParser):
    """A parser that takes no abbreviation: --output is not --outputs."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given, allow_abbrev=False)


def _program() -> str:
    """Return how this command is called where it is: docs/reference/cli.md."""
    if server_code.IN_WHEEL:
        return "framemill"
    return "python -m api.cli" if local_service.DATA is None else "./framemill"
