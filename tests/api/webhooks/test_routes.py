"""The webhooks of an API key: made, listed, ended, and told of every job."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from common.jobs.store import Claim
from common.sealing import unseal
from tests.api.conftest import OBJECT, Context, a_file, post_form
from tests.api.http.test_auth import a_key
from tests.conftest import ROOT

HOOK = {"type": "webhook", "url": "https://example.org/hook?token=x"}
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def guarded(make_context: Callable[..., Context]) -> Context:
    return make_context(api={"auth": True})


def add(context: Context, headers: dict[str, str], **more: Any) -> Any:
    return context.client.post("/v1/webhooks", json=HOOK | more, headers=headers)


def listed(context: Context, headers: dict[str, str]) -> list[Any]:
    found: list[Any] = context.client.get("/v1/webhooks", headers=headers).json[
        "webhooks"
    ]
    return found


def told(context: Context, headers: dict[str, str]) -> list[Any]:
    """Return what the log says of all deliveries of the owner, oldest first."""
    answer = context.client.get("/v1/webhooks/deliveries", headers=headers)
    return list(reversed(answer.json["deliveries"]))


def submit(context: Context, headers: dict[str, str], **more: Any) -> Any:
    body = {"source": OBJECT, **more}
    answer = context.client.post("/v1/jobs", json=body, headers=headers)
    assert answer.status_code == 202, answer.json
    return answer.json


def test_given_one_idempotency_key_then_each_api_key_gets_a_webhook(
    guarded: Context,
) -> None:
    repeat = {"Idempotency-Key": "k"}
    callers = [a_key(guarded), a_key(guarded)]
    made = [add(guarded, {**one, **repeat}) for one in (*callers, callers[0])]
    assert [len(listed(guarded, one)) for one in callers] == [1, 1]
    assert made[0].json["secret"] != made[1].json["secret"]
    assert made[2].json == made[0].json


def test_given_a_new_webhook_then_its_secret_is_shown_once(guarded: Context) -> None:
    headers = a_key(guarded)
    made = add(guarded, headers)
    assert made.status_code == 201
    assert made.json["secret"].startswith("whsec_")
    assert made.json["url"] == "https://example.org/hook?***"
    assert "job.completed" in made.json["events"]
    shown = guarded.client.get("/v1/webhooks", headers=headers)
    assert [one["id"] for one in shown.json["webhooks"]] == [made.json["id"]]
    assert made.json["secret"] not in shown.get_data(as_text=True)


def test_given_a_secret_of_the_callers_then_it_is_kept(guarded: Context) -> None:
    assert add(guarded, a_key(guarded), secret=SECRET).json["secret"] == SECRET


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://x/"),
        ("url", "https://u:p@x/"),
        ("events", ["job"]),
        ("events", []),
        ("secret", "short"),
        ("type", "email"),
        ("colour", 1),
    ],
)
def test_given_a_webhook_that_is_none_then_422(
    guarded: Context, field: str, value: Any
) -> None:
    answer = add(guarded, a_key(guarded), **{field: value})
    assert (answer.status_code, answer.json["pointer"][: len(field) + 1]) == (
        422,
        f"/{field}",
    )


def test_given_a_job_then_the_keys_webhook_is_told_as_well_as_its_own(
    guarded: Context,
) -> None:
    headers = a_key(guarded)
    add(guarded, headers, events=["job.accepted"])
    notify = [{**HOOK, "url": "https://own.example/", "events": ["job.accepted"]}]
    submit(guarded, headers, notify=notify)
    targets = [one["target"] for one in told(guarded, headers)]
    assert targets == ["https://own.example/", "https://example.org/hook?***"]


def test_given_output_events_then_they_are_told_too(guarded: Context) -> None:
    headers = a_key(guarded)
    add(guarded, headers, events=["output.succeeded", "job.completed"])
    job = submit(guarded, headers, outputs=[{"kind": "thumbnail"}])
    guarded.make(job["id"])
    events = [(one["event"], one["output"]) for one in told(guarded, headers)]
    assert events == [("output.succeeded", "thumbnail"), ("job.completed", None)]


def test_given_a_form_or_an_upload_then_the_keys_webhook_is_told(
    guarded: Context,
) -> None:
    headers = a_key(guarded)
    add(guarded, headers, events=["job.accepted"])
    assert post_form(guarded, {"file": a_file()}, headers).status_code == 202
    client = guarded.client
    upload = client.post(
        "/v1/uploads", json={"size": 3, "job": {}}, headers=headers
    ).json
    put = upload["put"]
    client.put(put["url"], data=b"abc", headers=put["headers"])
    done = client.post(f"/v1/uploads/{upload['id']}/complete", headers=headers)
    assert done.status_code == 200
    assert len(told(guarded, headers)) == 2


def test_given_a_job_then_the_worker_gets_the_webhooks_secret(guarded: Context) -> None:
    headers = a_key(guarded)
    made = add(guarded, headers, events=["job.accepted"]).json
    job = submit(guarded, headers)
    claim = guarded.runtime.store.claim(f"{job['id']}:n:1", "t", "w")
    assert isinstance(claim, Claim)
    assert claim.delivery is not None
    stored = claim.delivery.subscription.secret or ""
    assert stored != made["secret"]
    api_secret = guarded.runtime.settings.api.secret
    assert unseal(stored, [api_secret]) == made["secret"]


def test_given_a_deleted_webhook_then_later_jobs_are_not_told(guarded: Context) -> None:
    headers = a_key(guarded)
    made = add(guarded, headers, events=["job.accepted"]).json
    path = f"/v1/webhooks/{made['id']}"
    assert guarded.client.delete(path, headers=headers).status_code == 204
    submit(guarded, headers)
    assert told(guarded, headers) == []
    assert guarded.client.delete(path, headers=headers).status_code == 404


def test_given_another_key_of_the_owner_then_it_has_webhooks_of_its_own(
    guarded: Context,
) -> None:
    first, second = a_key(guarded), a_key(guarded)
    made = add(guarded, first, events=["job.accepted"]).json
    assert listed(guarded, second) == []
    path = f"/v1/webhooks/{made['id']}"
    assert guarded.client.delete(path, headers=second).status_code == 404
    submit(guarded, second)
    assert told(guarded, second) == []


def test_given_many_at_once_then_ten_are_kept_and_none_is_lost(
    guarded: Context,
) -> None:
    headers = a_key(guarded)
    app = guarded.client.application

    def send(_: int) -> int:
        answer = app.test_client().post("/v1/webhooks", json=HOOK, headers=headers)
        return answer.status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(send, range(14)))
    assert statuses.count(201) == len(listed(guarded, headers)) == 10
    assert statuses.count(409) == 4


def test_given_a_repeat_with_an_idempotency_key_then_one_webhook(
    guarded: Context,
) -> None:
    headers = {**a_key(guarded), "Idempotency-Key": "k"}
    first, again = add(guarded, headers), add(guarded, headers)
    assert first.json == again.json
    assert len(listed(guarded, headers)) == 1


@pytest.mark.parametrize(("method", "scope"), [("post", "read"), ("get", "submit")])
def test_given_a_missing_scope_then_403(
    guarded: Context, method: str, scope: str
) -> None:
    call = getattr(guarded.client, method)
    answer = call("/v1/webhooks", headers=a_key(guarded, scopes=[scope]))
    assert answer.status_code == 403


def test_given_a_service_without_keys_then_409_says_what_to_do(
    context: Context,
) -> None:
    answer = context.client.post("/v1/webhooks", json=HOOK)
    assert (answer.status_code, "notify" in answer.json["hint"]) == (409, True)
    assert context.client.get("/v1/webhooks").status_code == 409


def test_given_a_webhook_then_the_job_document_does_not_show_it(
    guarded: Context,
) -> None:
    headers = a_key(guarded)
    secret = add(guarded, headers).json["secret"]
    assert secret not in json.dumps(submit(guarded, headers))


def test_given_the_deliveries_then_they_are_not_taken_for_a_webhook(
    context: Context,
) -> None:
    allowed = context.client.options("/v1/webhooks/deliveries").headers["Allow"]
    assert "DELETE" not in allowed


def test_the_first_request_of_the_webhooks_page_is_accepted_as_it_stands(
    context: Context,
) -> None:
    page = (ROOT / "docs" / "how-to" / "webhooks.md").read_text("utf-8")
    example = page.split("```json\n")[1].split("```")[0]

    answer = context.client.post("/v1/jobs", json=json.loads(example))

    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "[::1]", "[fe80::1]", "0x7f.1"]
)
def test_given_an_address_that_delivery_would_refuse_then_422_at_once(
    guarded: Context, host: str
) -> None:
    headers = a_key(guarded)
    hook = {"type": "webhook", "url": f"https://{host}/hook"}
    for path, body, pointer in (
        ("/v1/webhooks", hook, "/url"),
        ("/v1/jobs", {"source": OBJECT, "notify": [hook]}, "/notify/0/url"),
    ):
        answer = guarded.client.post(path, json=body, headers=headers)
        assert (answer.status_code, answer.json["pointer"]) == (422, pointer)
        assert "this webhook URL is refused" in answer.json["detail"]
        assert answer.json["hint"]


def test_given_a_private_network_that_is_allowed_then_its_addresses_are(
    make_context: Callable[..., Context],
) -> None:
    allowed = make_context(egress={"private_networks": ["10.0.0.0/8"]})
    hook = {"type": "webhook", "url": "https://10.0.0.1/hook"}
    answer = allowed.client.post("/v1/jobs", json={"source": OBJECT, "notify": [hook]})
    assert answer.status_code == 202
