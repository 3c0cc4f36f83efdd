"""``framemill keys``: make, list, limit, rotate and revoke API keys."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from pydantic import ValidationError

from api.admin.service import load_settings
from api.cli.operators import LIMITS, NONE
from api.jobs.subscriptions import WebhookSubscription, check_receiver, shown
from common.access.keys import KeyRecord, Keys, new_key_id
from common.errors import NotFound
from common.notify.subscriptions import Subscription


def create(options: argparse.Namespace) -> int:
    """Store a new key and print it; nothing can show it again."""
    key_id = new_key_id()
    fields = {"id": key_id, "name": options.name, "owner": options.owner or key_id}
    record = _valid(fields | _limits(options))
    settings = load_settings(options)
    token = Keys.connect(settings).create(record)
    if not settings.api.auth:
        _inform(
            "warning: this service asks nobody for a key (FRAMEMILL_API_AUTH=false): "
            "whoever reaches it may do everything, with this key or without; start it "
            "with FRAMEMILL_API_AUTH=true"
        )
    _inform(f"key {record.id} of {record.owner}; it is shown only now:")
    print(token)
    return 0


def show_all(options: argparse.Namespace) -> int:
    """Print each key as a JSON object on a line, without secrets."""
    for record in _keys(options).list():
        document = record.model_dump(mode="json", exclude_none=True)
        for webhook in document["webhooks"]:
            del webhook["secret"]
            webhook["url"] = shown(webhook["url"])
        print(json.dumps(document))
    return 0


def change_limits(options: argparse.Namespace) -> int:
    """Change the limits that were named, and print the key as it is then."""
    changes = _limits(options)
    if not changes:
        raise ValueError("name the limits to change, for example --jobs-at-once 20")
    keys = _changeable(options)
    record = keys.change(options.id, lambda old: _valid(old.model_dump() | changes))
    print(record.model_dump_json(exclude_none=True, exclude={"webhooks"}))
    return 0


def rotate(options: argparse.Namespace) -> int:
    """Replace a key's secret and print the new key; the old one ends at once."""
    token = _changeable(options).rotate(options.id)
    _inform(f"the new key of {options.id}; it is shown only now:")
    print(token)
    return 0


def revoke(options: argparse.Namespace) -> int:
    """End a key; raises NotFound where there is none of that id."""
    if not _changeable(options).revoke(options.id):
        raise NotFound(f"there is no API key with the id {options.id!r}")
    _inform(f"the key {options.id} is revoked: it is refused from now on")
    return 0


def add_webhook(options: argparse.Namespace) -> int:
    """Subscribe a URL to every job of a key, and print the signing secret."""
    fields = {"type": "webhook", "url": options.url, "events": options.events}
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        requested = WebhookSubscription.model_validate(given)
    except ValidationError as error:
        raise ValueError("; ".join(one["msg"] for one in error.errors())) from error
    settings = load_settings(options)
    check_receiver(requested.url, settings.egress, "/url")
    keys = Keys.connect(settings)
    made = keys.add_webhook(
        options.id,
        Subscription.model_validate(requested.model_dump()),
        settings.api.secret,
    )
    _inform(f"webhook {made.id}; its secret is shown only now:")
    print(made.secret)
    return 0


def remove_webhook(options: argparse.Namespace) -> int:
    """Remove a webhook from a key."""
    _keys(options).remove_webhook(options.id, options.webhook)
    _inform(f"webhook {options.webhook} is removed from the key {options.id}")
    return 0


def _limits(options: argparse.Namespace) -> dict[str, Any]:
    """Return the limits that were named as fields of a KeyRecord."""
    found: dict[str, Any] = {}
    for limit in LIMITS:
        value = getattr(options, limit.field)
        if value in (NONE, [NONE]):
            found[limit.field] = [] if limit.repeatable else None
        elif value is not None:
            found[limit.field] = value
    return found


def _valid(fields: dict[str, Any]) -> KeyRecord:
    try:
        return KeyRecord.model_validate(fields)
    except ValidationError as error:
        options = {limit.field: limit.option for limit in LIMITS}
        faults = [
            f"{options.get(str(fault['loc'][0]), fault['loc'][0])}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise ValueError("the key is not valid: " + "; ".join(faults)) from error


def _keys(options: argparse.Namespace) -> Keys:
    return Keys.connect(load_settings(options))


def _changeable(options: argparse.Namespace) -> Keys:
    """Return the keys to change one of them.

    Raises ValueError where that one comes from the settings: a change would be lost.
    """
    keys = _keys(options)
    if any(one.declared and one.id == options.id for one in keys.list()):
        raise ValueError(
            f"the key {options.id!r} is one of FRAMEMILL_API_KEYS: change it there, "
            "and start the API anew"
        )
    return keys


def _inform(line: str) -> None:
    print(line, file=sys.stderr)
