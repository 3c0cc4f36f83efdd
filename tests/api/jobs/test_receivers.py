"""Who may be notified: receivers that nothing could reach are refused at once."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.cli.main import main
from common.settings.load import Settings, SettingsError
from tests.api.conftest import OBJECT, Context, a_file, post_form
from tests.api.http.test_auth import a_key

Make = Callable[..., Context]
Ask = Callable[[Context, list[Any]], TestResponse]
PLAIN = {"type": "webhook", "url": "http://example.org/hook"}
MAIL = {"type": "email", "to": "Ann@Example.org"}
SMTP = {"host": "mail.example.org"}


def as_json(context: Context, notify: list[Any]) -> TestResponse:
    return context.client.post("/v1/jobs", json={"source": OBJECT, "notify": notify})


def as_form(context: Context, notify: list[Any]) -> TestResponse:
    return post_form(context, {"file": a_file(), "notify": json.dumps(notify)})


def as_batch(context: Context, notify: list[Any]) -> TestResponse:
    return context.client.post(
        "/v1/batches", json={"sources": [OBJECT], "notify": notify}
    )


def as_upload(context: Context, notify: list[Any]) -> TestResponse:
    body = {"size": 5, "job": {"notify": notify}}
    return context.client.post("/v1/uploads", json=body)


def as_tus(context: Context, notify: list[Any]) -> TestResponse:
    job = b64encode(json.dumps({"notify": notify}).encode()).decode()
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "5",
        "Upload-Metadata": f"job {job}",
    }
    return context.client.post("/v1/tus", headers=headers)


WAYS = [
    (as_json, "/notify/0"),
    (as_form, "/notify/0"),
    (as_batch, "/notify/0"),
    (as_upload, "/job/notify/0"),
    (as_tus, "/job/notify/0"),
]


@pytest.mark.parametrize(("ask", "base"), WAYS)
def test_given_plain_http_where_it_is_off_then_422_names_the_setting(
    context: Context, ask: Ask, base: str
) -> None:
    answer = ask(context, [PLAIN])
    assert (answer.status_code, answer.json["pointer"]) == (422, f"{base}/url")
    assert "http is not allowed" in answer.json["detail"]
    assert "https" in answer.json["hint"]
    assert "FRAMEMILL_EGRESS_HTTP" in answer.json["hint"]
    assert context.stored() == []


def test_given_plain_http_where_it_is_on_then_it_is_taken(make_context: Make) -> None:
    context = make_context(egress={"http": True})
    assert as_json(context, [PLAIN]).status_code == 202


def test_given_a_port_that_is_not_reached_then_422_names_the_setting(
    context: Context,
) -> None:
    answer = as_json(context, [PLAIN | {"url": "https://example.org:8443/"}])
    assert (answer.status_code, answer.json["pointer"]) == (422, "/notify/0/url")
    assert "8443" in answer.json["detail"]
    assert "FRAMEMILL_EGRESS_PORTS" in answer.json["hint"]


def test_given_plain_http_for_a_keys_webhook_then_422(make_context: Make) -> None:
    context = make_context(api={"auth": True})
    headers = a_key(context)
    answer = context.client.post("/v1/webhooks", json=PLAIN, headers=headers)
    assert (answer.status_code, answer.json["pointer"]) == (422, "/url")
    listed = context.client.get("/v1/webhooks", headers=headers)
    assert listed.json["webhooks"] == []


def test_given_plain_http_by_command_then_code_4_and_what_would_be_right(
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FRAMEMILL_STORE_URL", context.runtime.settings.store.url)
    assert main(["keys", "webhook", "any", "http://example.org/"]) == 4
    assert "FRAMEMILL_EGRESS_HTTP" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://example.org/", "https://example.org:22/"])
def test_given_a_rules_webhook_that_is_not_reached_then_the_start_says_so(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    rule = {"bucket": "framemill", "preset": "web", "webhook": url}
    monkeypatch.setenv("FRAMEMILL_EVENTS_RULES", json.dumps([rule]))
    with pytest.raises(SettingsError, match=r"RULES: rule 1: webhook: .* allowed here"):
        Settings.load()


@pytest.mark.parametrize(("ask", "base"), WAYS)
def test_given_no_leave_then_nobody_is_mailed(
    make_context: Make, ask: Ask, base: str
) -> None:
    context = make_context(smtp=SMTP)
    answer = ask(context, [MAIL])
    assert (answer.status_code, answer.json["pointer"]) == (403, f"{base}/to")
    assert "Ann@Example.org" in answer.json["detail"]
    assert "--recipient" in answer.json["hint"]


@pytest.mark.parametrize("leave", ["ann@example.org", "@example.ORG", "*"])
def test_given_leave_in_the_settings_then_everybody_may_mail(
    make_context: Make, leave: str
) -> None:
    context = make_context(smtp=SMTP | {"recipients": leave})
    assert as_json(context, [MAIL]).status_code == 202


@pytest.mark.parametrize("leave", ["bob@example.org", "@ple.org", "@a.example.org"])
def test_given_leave_for_others_then_403(make_context: Make, leave: str) -> None:
    context = make_context(smtp=SMTP | {"recipients": [leave]})
    assert as_json(context, [MAIL]).status_code == 403


def test_given_leave_of_a_key_then_that_key_alone_may_mail(make_context: Make) -> None:
    context = make_context(api={"auth": True}, smtp=SMTP)
    body = {"source": OBJECT, "notify": [MAIL]}
    keys = [a_key(context, recipients=["@example.org"]), a_key(context)]
    statuses = [
        context.client.post("/v1/jobs", json=body, headers=key).status_code
        for key in keys
    ]
    assert statuses == [202, 403]


def test_given_no_mail_server_then_422_says_so(make_context: Make) -> None:
    answer = as_json(make_context(smtp={"recipients": ["*"]}), [MAIL])
    assert (answer.status_code, answer.json["pointer"]) == (422, "/notify/0/to")
    assert "FRAMEMILL_SMTP_HOST" in answer.json["hint"]
