"""The command line: ``framemill`` for people and scripts.

``submit`` and ``batch`` talk to the public HTTP API alone. The others are for operators
and run the server's code: they reach the job store of a running ``./dev``, or the one
that FRAMEMILL_* variables name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from . import operators
from . import submit as client_commands
from .errors import CommandFailed, Refused, Unreached
from .submit import warn

_WRONG, _REFUSED, _INTERRUPTED = 2, 4, 130
_DESCRIPTION = """\
Make thumbnails, GIFs, previews and storyboards of videos with a Framemill service.

submit and batch talk to the service over HTTP. The other commands are for operators:
they need the server's code, and reach the job store of the ./dev that runs in this
checkout, or the one that FRAMEMILL_* variables name.
"""
_EXIT_CODES = """\
exit codes:
  0    all is well
  1    a job failed or was cancelled
  2    wrong usage or settings, or a file that cannot be read
  3    a job or a batch is partial
  4    the service refused, or did not answer
  5    not ended within --timeout
  130  interrupted by Ctrl-C
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = _parser().parse_args(words)
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
        faults = error.problem.get("faults") or []
        # Where faults are listed, the document's own hint is the first one's.
        hint = "" if faults else error.problem.get("hint")
        warn(f"refused: {error}" + (f" ({hint})" if hint else ""))
        for fault in faults:
            hint = f" ({fault['hint']})" if fault.get("hint") else ""
            warn(f"  {fault['pointer']}: {fault['detail']}{hint}")
    elif isinstance(error, OSError) and error.filename:
        warn(f"{error.filename}: {error.strerror}")
    else:
        warn(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="framemill",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    submit = commands.add_parser("submit", help="make pictures of one or more videos")
    client_commands.add_submit(submit)
    batch = commands.add_parser("batch", help="make pictures of many videos")
    client_commands.add_batch(batch)
    operators.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
