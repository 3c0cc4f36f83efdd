"""The operators' commands: keys, dead, redrive, purge, reconcile, openapi.

Only their options are here. What they do is the server's code, which is imported when
one of them runs: a client's machine need not have it.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import local_service, server_code
from .errors import CommandFailed

NONE = "none"


@dataclass(frozen=True)
class Limit:
    """An option that limits a key, and the field of the key's record that it sets.

    ``repeatable`` options collect a list. ``none`` lifts the limit, unless ``needed``
    says why there has to be one.
    """

    option: str
    field: str
    type: type
    help: str
    repeatable: bool = False
    needed: str = ""
    metavar: str | None = None


LIMITS = (
    Limit(
        "--scope",
        "scopes",
        str,
        "what the key may do: submit (make, cancel, retry and delete jobs), read, or "
        "admin (everything, /metrics and /v1/operations); may be repeated; default: "
        "submit and read",
        repeatable=True,
        needed="a key without a scope could do nothing; framemill keys revoke ends it",
        metavar="{submit,read,admin}",
    ),
    Limit(
        "--bucket",
        "buckets",
        str,
        "an S3 bucket that sources may come from; may be repeated; default: every "
        "bucket that the service reads",
        repeatable=True,
        metavar="NAME",
    ),
    Limit(
        "--prefix",
        "prefixes",
        str,
        "what the keys of S3 sources must begin with; may be repeated; default: any",
        repeatable=True,
    ),
    Limit(
        "--destination",
        "destinations",
        str,
        "where results may be copied to; may be repeated; default: nowhere",
        repeatable=True,
        metavar="BUCKET/PREFIX/",
    ),
    Limit(
        "--recipient",
        "recipients",
        str,
        "an address that may be sent e-mail, or @DOMAIN for a whole domain; may be "
        "repeated; default: only those of FRAMEMILL_SMTP_RECIPIENTS",
        repeatable=True,
        metavar="ADDRESS",
    ),
    Limit(
        "--requests-per-second",
        "requests_per_second",
        float,
        "requests per second on average; default: no limit",
        metavar="N",
    ),
    Limit(
        "--burst",
        "burst",
        int,
        "requests at once before --requests-per-second limits them; default: 20",
        needed="every rate has a burst; --requests-per-second none removes both",
        metavar="N",
    ),
    Limit(
        "--jobs-at-once",
        "jobs_at_once",
        int,
        "unfinished jobs at a time; default: no limit",
        metavar="N",
    ),
    Limit(
        "--jobs-per-day",
        "jobs_per_day",
        int,
        "new jobs on one day (UTC); default: no limit",
        metavar="N",
    ),
    Limit(
        "--uploads-at-once",
        "uploads_at_once",
        int,
        "unfinished uploads at a time; default: FRAMEMILL_LIMITS_UPLOADS_AT_ONCE",
        metavar="N",
    ),
    Limit(
        "--source-bytes",
        "source_bytes",
        int,
        "largest video, in bytes; default: the service's own limit",
        metavar="N",
    ),
    Limit(
        "--source-seconds",
        "source_seconds",
        float,
        "longest video, in seconds; default: the service's own limit",
        metavar="N",
    ),
)


def add_commands(commands: Any) -> None:
    """Add every operators' command to the parsers of ``framemill``."""
    keys = commands.add_parser("keys", help="make, list, limit and end API keys")
    _add_keys(keys.add_subparsers(required=True, metavar="COMMAND"))
    _add(commands, "dead", "list the tasks that failed for good, and why")
    redrive = _add(commands, "redrive", "run tasks that failed for good once more")
    redrive.add_argument(
        "task", nargs="*", help="a task's id, as dead shows it; default: all of them"
    )
    purge = _add(commands, "purge", "strike tasks off the list of those that failed")
    which = purge.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "task", nargs="*", default=[], help="a task's id, as dead shows it"
    )
    which.add_argument("--all", action="store_true", help="all of them")
    reconcile = _add(
        commands, "reconcile", "restore what was in a job store that was lost"
    )
    reconcile.add_argument(
        "--dry-run", action="store_true", help="only say what would come back"
    )
    _add(commands, "openapi", "print the OpenAPI document of the HTTP API")


def _add_keys(commands: Any) -> None:
    create = _add(commands, "create", "make a key and print it, once", group="keys")
    create.add_argument("name", help="what the key is for, in your own words")
    create.add_argument(
        "--owner",
        help="keys with the same owner see the same jobs; default: this key alone",
    )
    _add_limits(create)
    _add(commands, "list", "print each key as a JSON object", group="keys")
    limits = _add_for_key(
        commands, "limits", "change limits; the value none removes one"
    )
    _add_limits(limits)
    _add_for_key(commands, "rotate", "replace a key; the old one is refused at once")
    _add_for_key(commands, "revoke", "end a key")
    webhook = _add_for_key(commands, "webhook", "send events of a key's jobs to a URL")
    webhook.add_argument("url", help="where to send them")
    webhook.add_argument(
        "--event",
        dest="events",
        action="append",
        help="which events, such as job.completed or 'job.*'; may be repeated; "
        "default: the end of each job",
    )
    unhook = _add_for_key(commands, "unhook", "remove a webhook from a key")
    unhook.add_argument("webhook", help="the webhook's id, as list shows it")


def _add(
    commands: Any, name: str, text: str, group: str = ""
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    parser.set_defaults(run=partial(_run, f"{group} {name}".strip()))
    local_service.add_option(parser)
    return parser


def _add_for_key(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser = _add(commands, name, text, group="keys")
    parser.add_argument("id", help="the key's id, as list shows it")
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    for limit in LIMITS:
        parser.add_argument(
            limit.option,
            dest=limit.field,
            type=_parser(limit),
            action="append" if limit.repeatable else "store",
            help=limit.help,
            metavar=limit.metavar,
        )


def _parser(limit: Limit) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if text != NONE:
            return limit.type(text)
        if limit.needed:
            raise argparse.ArgumentTypeError(f"cannot be none: {limit.needed}")
        return NONE

    parse.__name__ = limit.type.__name__  # for argparse's text where it does not fit
    return parse


def _run(command: str, options: argparse.Namespace) -> int:
    if not __name__.startswith("api."):
        server_code.run("api.cli", options.words, extra="api")
    try:
        server = importlib.import_module("api.admin.commands")
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"framemill {command} needs the Python package {error.name}, which is not "
            "installed here: ./dev install installs everything in a checkout"
        ) from error
    code: int = server.run(command, options)
    return code
