"""Items in the broker's lists that nobody of ours put there."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.service import Service, until
from tests.conftest import SAMPLE
from tests.e2e.context import THUMBNAIL, await_job

ROUTE = {"exchange": "", "routing_key": "fast"}
PROPERTIES = {"delivery_tag": "a", "delivery_info": ROUTE, "body_encoding": "base64"}
BODY = base64.b64encode(b'[["x"], {}, {}]').decode()
HEADERS = {"task": "framemill.render", "id": "i", "lang": "py"}


def message(**other: Any) -> str:
    """Return a message of ours in which some parts are others."""
    whole = {
        "body": BODY,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": HEADERS,
        "properties": PROPERTIES,
    }
    return json.dumps(whole | other)


ITEMS = [
    "garbage",
    b"\xff\xfe\x00",
    "",
    "[1, 2]",
    "7",
    "{}",
    message(properties={}),
    message(properties=PROPERTIES | {"delivery_info": {}}),
    message(properties=PROPERTIES | {"delivery_info": None}),
    message(body="not base64: é"),
    message(body=7),
    message(headers=None),
    message(headers={"task": "no.such.task", "id": "i"}),
    message(body=base64.b64encode(b"no json").decode()),
    message(body=base64.b64encode(b"[[], {}, {}]").decode()),
    message(body=base64.b64encode(b'[[{"a": 1}], {}, {}]').decode()),
    message(**{"content-type": "application/x-python-serialize"}),
]


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("garbage")) as running:
        yield running


def test_a_worker_outlives_every_item_that_is_no_message(service: Service) -> None:
    worker = service.children["worker"]
    until(service.pool_children, 60, "the worker has started")

    for number, item in enumerate(ITEMS):
        service.broker.lpush("fast", item)
        until(lambda: not service.broker.llen("fast"), 20, f"item {number} was taken")
    time.sleep(0.5)

    assert worker.poll() is None, "the worker ended"
    job = await_job(service, service.submit(SAMPLE, THUMBNAIL))
    assert job["status"] == "completed", job
    assert worker.poll() is None
    until(lambda: not service.broker.hlen("unacked"), 20, "nothing stays taken")
