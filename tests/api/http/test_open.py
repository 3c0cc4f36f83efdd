"""Without keys: on loopback alone, unless the service is embedded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.settings.load import Settings, SettingsError
from tests.api.conftest import OBJECT, Context, a_file, post_form


class Link:
    """The socket of a request, as gunicorn hands it on."""

    def __init__(self, name: Any) -> None:
        self._name = name

    def getsockname(self) -> Any:
        return self._name


def get(context: Context, name: Any, path: str = "/v1/jobs") -> Any:
    link = {"gunicorn.socket": Link(name)}
    return context.client.get(path, environ_overrides=link)


@pytest.mark.parametrize(
    "name", [("127.0.0.1", 80), ("127.8.9.1", 80), ("::1", 80, 0, 0), "/run/api.sock"]
)
def test_given_a_request_by_loopback_then_it_is_served(
    context: Context, name: Any
) -> None:
    assert get(context, name).status_code == 200


@pytest.mark.parametrize(
    "name",
    [("10.1.2.3", 80), ("192.0.2.1", 80), ("fe80::1%eth0", 80, 0, 2), ("::", 80, 0, 0)],
)
def test_given_a_request_from_outside_then_403_though_it_started(
    context: Context, name: Any
) -> None:
    answer = get(context, name)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert "FRAMEMILL_API_AUTH" in answer.json["hint"]
    assert get(context, name, "/metrics").status_code == 403
    assert get(context, name, "/healthz").status_code == 200


def post(context: Context, **headers: str) -> Any:
    return context.client.post("/v1/jobs", json={"source": OBJECT}, headers=headers)


@pytest.mark.parametrize(
    "host", ["localhost:8000", "127.0.0.1:8000", "127.0.0.1", "[::1]:8000"]
)
def test_given_a_name_of_loopback_then_it_is_served(
    context: Context, host: str
) -> None:
    assert post(context, Host=host).status_code == 202


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "10.1.2.3"]
)
def test_given_a_name_that_was_made_to_lead_here_then_403(
    context: Context, host: str
) -> None:
    answer = context.client.get("/v1/jobs", headers={"Host": host})
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert "FRAMEMILL_API_PUBLIC_URL" in answer.json["hint"]


def test_given_a_public_name_then_it_is_served(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"public_url": "http://frames.example/"})
    assert post(context, Host="frames.example:8000").status_code == 202


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9999"]
)
def test_given_a_form_of_another_origin_then_403_and_no_job(
    context: Context, origin: str
) -> None:
    answer = post_form(context, {"file": a_file()}, {"Origin": origin})
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert context.runtime.store.list("") == ([], None)


def test_given_a_page_of_our_own_then_it_may_post(context: Context) -> None:
    host = "localhost:8000"
    assert post(context, Host=host, Origin=f"http://{host}").status_code == 202


@pytest.mark.parametrize("allowed", ["https://a.example", "*"])
def test_given_an_origin_that_is_allowed_then_its_pages_may_post(
    make_context: Callable[..., Context], allowed: str
) -> None:
    context = make_context(api={"cors_origins": [allowed]})
    assert post(context, Origin="https://a.example").status_code == 202


def test_given_an_embedded_service_then_name_and_origin_are_its_gates(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"embedded": True})
    answer = post(context, Host="a.example", Origin="https://b.example")
    assert answer.status_code == 202


def test_given_an_embedded_service_then_outside_is_served(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"embedded": True, "host": "0.0.0.0"})
    assert get(context, ("10.1.2.3", 80)).status_code == 200


def test_given_keys_then_where_a_request_came_in_does_not_matter(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"auth": True})
    assert get(context, ("10.1.2.3", 80)).status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "api.example"])
def test_given_no_keys_beyond_loopback_then_nothing_starts(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("FRAMEMILL_API_AUTH", "false")
    monkeypatch.setenv("FRAMEMILL_API_HOST", host)
    with pytest.raises(SettingsError, match="FRAMEMILL_API_EMBEDDED"):
        Settings.load()
    monkeypatch.setenv("FRAMEMILL_API_EMBEDDED", "true")
    assert Settings.load().api.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.1.1"])
def test_given_no_keys_on_loopback_then_it_starts(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("FRAMEMILL_API_AUTH", "false")
    monkeypatch.setenv("FRAMEMILL_API_HOST", host)
    assert Settings.load().api.host == host


def test_given_an_empty_variable_then_it_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FRAMEMILL_EVENTS_QUEUE_URL", "")
    monkeypatch.setenv("FRAMEMILL_EVENTS_RULES", "")
    events = Settings.load().events
    assert (events.queue_url, events.rules) == (None, [])
