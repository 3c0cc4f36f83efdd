"""What the store holds of the secrets of webhooks: nothing that signs."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
import redis

from common.access.keys import Keys
from common.notify.subscriptions import Subscription
from common.sealing import unseal
from tests.api.conftest import OBJECT, Context
from tests.api.http.test_auth import a_key

HOOK = {"type": "webhook", "url": "https://example.org/hook"}
NOTIFY = {**HOOK, "events": ["*"]}


def secret(number: int) -> str:
    return "whsec_" + b64encode(f"{number:032}".encode()).decode()


@pytest.fixture
def guarded(make_context: Callable[..., Context]) -> Context:
    return make_context(api={"auth": True})


def whole_store(context: Context) -> str:
    """Return every key and value of the store's server, as one text."""
    client = redis.Redis.from_url(
        context.runtime.settings.store.url, decode_responses=True
    )
    read: dict[str, Callable[[str], Any]] = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1),
        "stream": client.xrange,
    }
    with client:
        found = {key: read[client.type(key)](key) for key in client.scan_iter()}
    assert found
    return json.dumps(found, default=sorted)


def shows(text: str, found: str) -> bool:
    return found.removeprefix("whsec_").rstrip("=") in text


def requests_with_secrets(context: Context) -> list[str]:
    """Send each kind of request that may bring a secret; return the secrets."""
    headers = a_key(context)
    client, keyed = context.client, {**headers, "Idempotency-Key": "once"}
    made = client.post("/v1/webhooks", json=HOOK, headers=keyed).json["secret"]
    client.post("/v1/webhooks", json={**HOOK, "secret": secret(1)}, headers=headers)
    job = {"outputs": [{"kind": "thumbnail"}]}

    def notify(number: int) -> dict[str, Any]:
        return {**job, "notify": [{**NOTIFY, "secret": secret(number)}]}

    label = b64encode(json.dumps(notify(5)).encode()).decode()
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "3"}
    answers = [
        client.post("/v1/jobs", json={"source": OBJECT, **notify(2)}, headers=keyed),
        client.post(
            "/v1/batches", json={"sources": [OBJECT], **notify(3)}, headers=keyed
        ),
        client.post("/v1/uploads", json={"size": 3, "job": notify(4)}, headers=headers),
        client.post(
            "/v1/tus",
            headers={**headers, **tus, "Upload-Metadata": f"job {label}"},
        ),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 201, 201]
    context.make(answers[0].json["id"])
    return [made, *map(secret, range(1, 6))]


def test_given_secrets_of_every_kind_then_the_store_shows_none(
    guarded: Context,
) -> None:
    secrets = requests_with_secrets(guarded)

    text = whole_store(guarded)

    assert [one for one in secrets if shows(text, one)] == []
    assert "https://example.org/hook" in text, "the right store was read"


def test_given_a_repeat_then_it_shows_the_secret_of_the_first(guarded: Context) -> None:
    headers = {**a_key(guarded), "Idempotency-Key": "once"}
    first = guarded.client.post("/v1/webhooks", json=HOOK, headers=headers)

    again = guarded.client.post("/v1/webhooks", json=HOOK, headers=headers)

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json


def test_given_another_api_secret_then_a_repeat_is_told_so(
    make_context: Callable[..., Context],
) -> None:
    old = make_context(api={"auth": True})
    headers = {**a_key(old), "Idempotency-Key": "once"}
    first = old.client.post("/v1/webhooks", json=HOOK, headers=headers)
    prefix = old.runtime.settings.store.prefix
    new = make_context(api={"auth": True, "secret": "n" * 40}, store={"prefix": prefix})

    again = new.client.post("/v1/webhooks", json=HOOK, headers=headers)

    assert again.status_code == 409
    assert "FRAMEMILL_API_SECRET" in again.json["detail"]
    assert first.json["secret"] not in again.get_data(as_text=True)


def test_given_a_webhook_in_clear_of_a_key_then_new_jobs_store_it_sealed(
    guarded: Context,
) -> None:
    headers = a_key(guarded)
    in_clear = Subscription(id="w1", url=HOOK["url"], secret=secret(7), events=["*"])
    keys = Keys.connect(guarded.runtime.settings)
    (record,) = keys.list()
    keys.change(record.id, lambda one: one.model_copy(update={"webhooks": [in_clear]}))

    answer = guarded.client.post("/v1/jobs", json={"source": OBJECT}, headers=headers)

    claim = guarded.claim(f"{answer.json['id']}:n:1")
    assert claim.delivery is not None
    stored = claim.delivery.subscription.secret or ""
    assert not shows(stored, secret(7))
    assert unseal(stored, guarded.runtime.settings.api.secrets) == secret(7)
