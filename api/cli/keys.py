"""``framemill keys``: make, list, limit, rotate and revoke API keys.

For who runs the service: they read its settings and reach its store.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from api.cli import local_service
from api.jobs.subscriptions import WebhookSubscription, check_receiver, shown
from api.webhooks.routes import add, remove
from common.access.keys import KeyRecord, Keys, new_key_id
from common.errors import NotFound

NONE = "none"
# Option, field of KeyRecord, type, whether it may be repeated.
_LIMITS: tuple[tuple[str, str, type, bool], ...] = (
    ("--scope", "scopes", str, True),
    ("--bucket", "buckets", str, True),
    ("--prefix", "prefixes", str, True),
    ("--destination", "destinations", str, True),
    ("--recipient", "recipients", str, True),
    ("--requests-per-second", "requests_per_second", float, False),
    ("--burst", "burst", int, False),
    ("--jobs-at-once", "jobs_at_once", int, False),
    ("--jobs-per-day", "jobs_per_day", int, False),
    ("--uploads-at-once", "uploads_at_once", int, False),
    ("--source-bytes", "source_bytes", int, False),
    ("--source-seconds", "source_seconds", float, False),
)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Put the commands under ``framemill keys``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="make a key; prints it, once")
    create.set_defaults(run=_create)
    local_service.add_option(create)
    create.add_argument("name")
    create.add_argument("--owner", help="whose jobs it sees; default: its own only")
    _add_limits(create)
    every = commands.add_parser("list", help="one JSON object a key")
    every.set_defaults(run=_list)
    local_service.add_option(every)
    limits = commands.add_parser("limits", help="change limits; none takes one away")
    limits.set_defaults(run=_limit)
    limits.add_argument("id")
    local_service.add_option(limits)
    _add_limits(limits)
    _add(commands, "rotate", "a new secret for a key; the old one ends", _rotate)
    _add(commands, "revoke", "end a key", _revoke)
    webhook = _add(commands, "webhook", "tell every job of a key to URL", _webhook)
    webhook.add_argument("url")
    webhook.add_argument("--event", dest="events", action="append")
    unhook = _add(commands, "unhook", "take a webhook from a key", _unhook)
    unhook.add_argument("webhook")


def _add(
    commands: Any, name: str, text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text)
    parser.set_defaults(run=run)
    parser.add_argument("id", help="of the key, as list shows it")
    local_service.add_option(parser)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    for option, field, kind, many in _LIMITS:
        action = "append" if many else "store"
        parser.add_argument(option, dest=field, type=_or_none(kind), action=action)


def _or_none(kind: type) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        return NONE if text == NONE else kind(text)

    parse.__name__ = kind.__name__
    return parse


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Give the limits that were named; ``none`` is each field's default."""
    found: dict[str, Any] = {}
    for _, field, _, many in _LIMITS:
        value = getattr(options, field)
        if value is None:
            continue
        absent = value in (NONE, [NONE])
        found[field] = _default(field, many=many) if absent else value
    return found


def _default(field: str, *, many: bool) -> Any:
    return [] if many else KeyRecord.model_fields[field].default


def _valid(fields: dict[str, Any]) -> KeyRecord:
    try:
        return KeyRecord.model_validate(fields)
    except ValidationError as error:
        faults = [f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors()]
        raise ValueError("the key is not valid: " + "; ".join(faults)) from error


def _keys(options: argparse.Namespace) -> Keys:
    return Keys.connect(local_service.load_settings(options.data))


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _create(options: argparse.Namespace) -> int:
    key_id = new_key_id()
    fields = {"id": key_id, "name": options.name, "owner": options.owner or key_id}
    record = _valid(fields | _given(options))
    settings = local_service.load_settings(options.data)
    token = Keys.connect(settings).create(record)
    if not settings.api.auth:
        _tell(
            "warning: this service asks nobody for a key (FRAMEMILL_API_AUTH=false): "
            "whoever reaches it may do everything, with this key or without; start it "
            "with FRAMEMILL_API_AUTH=true"
        )
    _tell(f"key {record.id} of {record.owner}; it is shown only now:")
    print(token)
    return 0


def _list(options: argparse.Namespace) -> int:
    for record in _keys(options).list():
        document = record.model_dump(mode="json", exclude_none=True)
        for webhook in document["webhooks"]:
            del webhook["secret"]
            webhook["url"] = shown(webhook["url"])
        print(json.dumps(document))
    return 0


def _limit(options: argparse.Namespace) -> int:
    changes = _given(options)
    if not changes:
        raise ValueError("name the limits to change, for example --jobs-at-once 20")
    keys = _own(options)
    record = keys.change(options.id, lambda old: _valid(old.model_dump() | changes))
    print(record.model_dump_json(exclude_none=True, exclude={"webhooks"}))
    return 0


def _own(options: argparse.Namespace) -> Keys:
    """Give the keys to change one in; raises ValueError where that cannot last."""
    keys = _keys(options)
    if any(one.declared and one.id == options.id for one in keys.list()):
        raise ValueError(
            f"the key {options.id!r} is one of FRAMEMILL_API_KEYS: change it there, "
            "and start the API anew"
        )
    return keys


def _rotate(options: argparse.Namespace) -> int:
    token = _own(options).rotate(options.id)
    _tell(f"the new key of {options.id}; it is shown only now:")
    print(token)
    return 0


def _revoke(options: argparse.Namespace) -> int:
    if not _own(options).revoke(options.id):
        raise NotFound(f"there is no API key with the id {options.id!r}")
    return 0


def _webhook(options: argparse.Namespace) -> int:
    fields = {"type": "webhook", "url": options.url, "events": options.events}
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        requested = WebhookSubscription.model_validate(given)
    except ValidationError as error:
        raise ValueError("; ".join(one["msg"] for one in error.errors())) from error
    settings = local_service.load_settings(options.data)
    check_receiver(requested.url, settings.egress, "/url")
    made = add(Keys.connect(settings), options.id, requested)
    _tell(f"webhook {made['id']}; its secret is shown only now:")
    print(made["secret"])
    return 0


def _unhook(options: argparse.Namespace) -> int:
    remove(_keys(options), options.id, options.webhook)
    return 0
