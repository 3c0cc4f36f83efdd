"""The operators' commands by their names on the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from api.admin import keys, reconcile, tasks
from api.cli.errors import CommandFailed
from api.openapi import document
from common.errors import FramemillError


def _print_document(_: argparse.Namespace) -> int:
    sys.stdout.write(document.text())
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "keys create": keys.create,
    "keys list": keys.show_all,
    "keys limits": keys.change_limits,
    "keys rotate": keys.rotate,
    "keys revoke": keys.revoke,
    "keys webhook": keys.add_webhook,
    "keys unhook": keys.remove_webhook,
    "dead": tasks.show_dead,
    "redrive": tasks.redrive,
    "purge": tasks.purge,
    "reconcile": reconcile.reconcile,
    "openapi": _print_document,
}


def run(command: str, options: argparse.Namespace) -> int:
    """Run a command and return its exit code.

    Raises CommandFailed where the service refuses, ValueError (SettingsError is one)
    where an option or a setting is wrong.
    """
    try:
        return COMMANDS[command](options)
    except FramemillError as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise CommandFailed(f"{error.title}: {error.detail}{hint}") from error
