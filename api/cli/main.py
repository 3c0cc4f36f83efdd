"""The command line: ``framemill`` for people and scripts.

``submit`` and ``batch`` talk to the public HTTP API alone. ``keys``, ``dead`` and
``redrive`` are for operators: they reach the job store of a running ``./dev``, or the
one that FRAMEMILL_* variables name.

Exit codes: 0 all is well, 1 a job failed or was cancelled, 2 wrong usage or settings,
3 a job is partial, 4 the service refused or did not answer, 5 not ended in time,
130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from api.cli import keys as key_commands
from api.cli import local_service
from api.cli import submit as client_commands
from api.cli.client import Refused, Unreached
from api.cli.submit import warn
from api.openapi import document as openapi
from common.errors import FramemillError
from common.runtime import Runtime, build_runtime
from common.settings.load import SettingsError
from common.telemetry import logging as telemetry

_WRONG, _REFUSED, _INTERRUPTED = 2, 4, 130


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    options = _parser().parse_args(words)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (Refused, Unreached, FramemillError) as error:
        _explain(error)
        return _REFUSED
    except (SettingsError, OSError, ValueError) as error:
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
    elif isinstance(error, FramemillError):
        hint = f" ({error.hint})" if error.hint else ""
        warn(f"{error.title}: {error.detail}{hint}")
    elif isinstance(error, OSError) and error.filename:
        warn(f"{error.filename}: {error.strerror}")
    else:
        warn(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="framemill", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    submit = commands.add_parser("submit", help="make pictures of one or more videos")
    client_commands.add_submit(submit)
    batch = commands.add_parser("batch", help="make pictures of many videos")
    client_commands.add_batch(batch)
    keys = commands.add_parser("keys", help="make and tend API keys")
    key_commands.add_to(keys)
    dead = commands.add_parser("dead", help="list the tasks that were given up")
    local_service.add_option(dead)
    dead.set_defaults(run=_dead)
    redrive = commands.add_parser("redrive", help="run given-up tasks again")
    local_service.add_option(redrive)
    redrive.set_defaults(run=_redrive)
    redrive.add_argument("task", nargs="*", help="default: all of them")
    document = commands.add_parser("openapi", help="print the OpenAPI document")
    document.set_defaults(run=_openapi)
    return parser


def _dead(options: argparse.Namespace) -> int:
    for task in _runtime(options).store.dead():
        print(f"{task.task}\t{task.error.code}\t{task.error.detail}")
    return 0


def _redrive(options: argparse.Namespace) -> int:
    runtime = _runtime(options)
    tasks = options.task or [one.task for one in runtime.store.dead()]
    for task in tasks:
        runtime.dispatcher.enqueue(runtime.store.redrive(task).messages)
        print(task)
    return 0


def _runtime(options: argparse.Namespace) -> Runtime:
    settings = local_service.load_settings(options.data)
    telemetry.configure(settings.log)
    return build_runtime(settings)


def _openapi(_: argparse.Namespace) -> int:
    sys.stdout.write(openapi.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
