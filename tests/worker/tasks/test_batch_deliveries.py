"""What subscribers of a batch are sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common.jobs.store import NewBatch
from common.model import Source
from common.notify.subscriptions import Subscription
from common.runtime import Runtime
from tests.worker.context import make_runtime, send
from tests.worker.receiver import receiving
from worker.delivery.mail import Letter, compose
from worker.delivery.webhook import MAX_BODY_BYTES

BATCH = "b" * 32


def told(folder: Path, metadata: Any) -> dict[str, Any]:
    """Return what a receiver gets of a batch that was cancelled."""
    with receiving() as server:
        reach = {"http": True, "ports": [server.port]}
        reach["private_networks"] = ["127.0.0.0/8"]
        runtime = make_runtime(folder, egress=reach)
        cancelled(runtime, f"{server.url}/hook", metadata)
        send(runtime, f"{BATCH}:n:1")
    (got,) = server.requests
    assert len(got.body) < MAX_BODY_BYTES
    document: dict[str, Any] = json.loads(got.body)
    return document


def cancelled(runtime: Runtime, url: str, metadata: Any) -> None:
    hook = Subscription(id="s1", type="webhook", url=url, events=["batch.cancelled"])
    source = Source(kind="upload", key="in/x/source")
    new = NewBatch(
        BATCH, "me", [source], None, {}, metadata=metadata, subscriptions=[hook]
    )
    runtime.store.accept_batch(new)
    runtime.store.cancel_batch(BATCH)


def test_a_webhook_tells_of_the_batch_as_it_is(tmp_path: Path) -> None:
    document = told(tmp_path, {"mine": 1})
    data = document["data"]
    assert document["type"] == "batch.cancelled"
    assert data["batch_id"] == BATCH
    assert data["link"] == f"https://frames.test/v1/batches/{BATCH}"
    assert data["batch"]["status"] == "cancelled"
    assert data["batch"]["metadata"] == {"mine": 1}
    assert data["batch"]["counts"]["completed"] == 0


def test_metadata_that_would_not_fit_is_left_out(tmp_path: Path) -> None:
    assert told(tmp_path, "x" * MAX_BODY_BYTES)["data"]["batch"]["metadata"] is None


def test_a_mail_speaks_of_a_batch(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    cancelled(runtime, "https://a.test", None)
    delivery = runtime.store.delivery(f"{BATCH}:n:1")
    assert delivery is not None
    letter = Letter(
        "you@example.org", "m", delivery.event, BATCH, None, "https://a.test"
    )
    mail = compose(letter, "me@example.org")
    text: Any = mail.get_body(("plain",))
    assert mail["Subject"] == "Your batch was cancelled"
    assert f"Batch {BATCH}" in text.get_content()
