"""The verifier of the webhooks page, held to the standard's own library."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from standardwebhooks.webhooks import Webhook

from common.model import JOB_ENDED, OutputStatus
from common.notify.subscriptions import EVENTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "webhooks.md"
SCRIPTS = ROOT / "common" / "jobs" / "lua"
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
BODY = '{"type":"job.completed","name":"\u20ac"}'


@pytest.fixture
def verify():
    code = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(code[1], names)  # noqa: S102 - our own page
    return names["verify"]


def sign(seconds_ago=0):
    at = datetime.fromtimestamp(int(time.time()) - seconds_ago, UTC)
    return {
        "webhook-id": "m1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("m1", at, BODY),
    }


def test_what_the_library_signs_is_genuine(verify):
    verify(SECRET, sign(), BODY.encode())


def test_one_of_several_signatures_is_enough(verify):
    headers = sign()
    headers["webhook-signature"] = "v1,AAAA " + headers["webhook-signature"]
    verify(SECRET, headers, BODY.encode())


@pytest.mark.parametrize("part", ["webhook-id", "webhook-signature", "body"])
def test_what_was_changed_is_not_genuine(verify, part):
    headers, body = sign(), BODY.encode()
    if part == "body":
        body += b" "
    else:
        headers[part] = headers[part] + "x"
    with pytest.raises(ValueError, match="not genuine"):
        verify(SECRET, headers, body)


def test_what_is_old_is_refused(verify):
    with pytest.raises(ValueError, match="too old"):
        verify(SECRET, sign(seconds_ago=400), BODY.encode())


def emitted():
    """Return the events that the job store's scripts emit."""
    calls = [
        call
        for script in SCRIPTS.rglob("*.lua")
        for call in re.findall(
            r"\bevent\(\w+, '([a-z.]+)'( \.\. \w+)?", script.read_text("utf-8")
        )
    ]
    ended = set(get_args(OutputStatus)) - {"queued", "running"}
    endings = {"job.": JOB_ENDED, "batch.": JOB_ENDED, "output.": ended}
    names = {name for name, variable in calls if not variable}
    for prefix in {name for name, variable in calls if variable}:
        names |= {prefix + status for status in endings[prefix]}
    return names


def test_the_table_of_events_names_exactly_what_is_emitted():
    listed = re.findall(
        r"^\| `((?:job|output|batch)\.\w+)`", PAGE.read_text(), re.MULTILINE
    )
    assert len(emitted()) > len(JOB_ENDED) * 2
    assert sorted(listed) == sorted(emitted()) == sorted(EVENTS)
