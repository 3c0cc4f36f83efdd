"""Signing in with a key: what the cookie opens, for whom, and until when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.app import create_app
from common.access.keys import Keys, digest
from tests.api.conftest import OBJECT, Context
from tests.api.http.test_auth import a_key

Make = Callable[..., Context]
PAGE = {"X-Framemill-Page": "1", "Sec-Fetch-Site": "same-origin"}
OTHER = {"X-Framemill-Page": "1", "Origin": "https://evil.example"}


@pytest.fixture
def guarded(make_context: Make) -> Context:
    return make_context(api={"auth": True})


def token_of(context: Context, **fields: Any) -> str:
    return a_key(context, **fields)["Authorization"].removeprefix("Bearer ")


def sign_in(context: Context, token: str, **headers: str) -> TestResponse:
    return context.client.post("/session", json={"key": token}, headers=headers)


def submit(context: Context, **headers: str) -> TestResponse:
    return context.client.post("/v1/jobs", json={"source": OBJECT}, headers=headers)


def test_the_cookie_opens_what_the_key_opens(guarded: Context) -> None:
    token = token_of(guarded)
    assert guarded.client.get("/v1/jobs").status_code == 401
    assert sign_in(guarded, token).json["signed_in"]
    job = submit(guarded, **PAGE).json
    assert guarded.client.get(f"/v1/jobs/{job['id']}").status_code == 200
    with_key = {"Authorization": f"Bearer {token}"}
    listed = guarded.client.get("/v1/jobs", headers=with_key).json["jobs"]
    assert [one["id"] for one in listed] == [job["id"]]


def test_no_script_and_no_other_site_gets_the_cookie(make_context: Make) -> None:
    context = make_context(api={"auth": True, "public_url": "https://f.example/mill"})
    cookie = sign_in(context, token_of(context)).headers["Set-Cookie"]
    terms = set(cookie.split("; ")[1:])
    assert {"HttpOnly", "SameSite=Strict", "Secure", "Path=/mill"} <= terms
    assert f"Max-Age={168 * 3600}" in terms


def test_the_store_has_no_secret_of_the_session(guarded: Context) -> None:
    token = token_of(guarded, id="k1")
    sign_in(guarded, token)
    cookie = guarded.client.get_cookie("framemill_session")
    assert cookie is not None
    client = guarded.runtime.store._client
    prefix = guarded.runtime.settings.store.prefix
    names = client.keys(f"{prefix}key:session:*")
    assert names == [f"{prefix}key:session:{digest(cookie.value)}"]
    assert client.get(names[0]) == digest(token)
    assert 0 < client.pttl(names[0]) <= 168 * 3_600_000
    assert client.zcard(f"{prefix}key:sessions:k1") == 1


def test_the_session_says_who_is_signed_in(guarded: Context) -> None:
    client = guarded.client
    assert client.get("/session").json == {
        "signed_in": False,
        "required": True,
        "name": None,
        "key_id": None,
        "scopes": [],
        "expires_at": None,
    }
    sign_in(guarded, token_of(guarded, id="k1", name="shop", scopes=["submit"]))
    shown = client.get("/session").json
    assert shown.pop("expires_at") > "2026"
    assert shown == {
        "signed_in": True,
        "required": True,
        "name": "shop",
        "key_id": "k1",
        "scopes": ["submit"],
    }


def test_without_keys_nobody_needs_to_sign_in(context: Context) -> None:
    shown = context.client.get("/session").json
    assert (shown["signed_in"], shown["required"]) == (True, False)
    assert sign_in(context, "anything").json["scopes"] == ["submit", "read", "admin"]
    assert context.client.get_cookie("framemill_session") is None
    assert context.client.delete("/session").status_code == 204


@pytest.mark.parametrize("key", ["fm_unknown", "x" * 256])
def test_an_unknown_key_signs_nobody_in(guarded: Context, key: str) -> None:
    answer = sign_in(guarded, key)
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"json": {}}, 422),
        ({"json": {"key": "x" * 257}}, 422),
        ({"json": {"key": "x" * 5000}}, 413),
        ({"data": {"key": "k", "more": "m"}}, 422),
        ({"data": b"key=%FF", "content_type": "text/plain"}, 415),
    ],
)
def test_what_is_no_sign_in_is_refused(
    guarded: Context, body: dict[str, Any], status: int
) -> None:
    assert guarded.client.post("/session", **body).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (PAGE, 202),
        ({"X-Framemill-Page": "1"}, 202),
        ({"X-Framemill-Page": "1", "Origin": "http://localhost"}, 202),
        ({"Origin": "http://localhost"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 403),
        ({**PAGE, "Sec-Fetch-Site": "same-site"}, 403),
        ({**PAGE, "Sec-Fetch-Site": "cross-site"}, 403),
        (OTHER, 403),
        ({"X-Framemill-Page": "1", "Origin": "null"}, 403),
        ({"X-Framemill-Page": "1", "Origin": "http://localhost:9999"}, 403),
        ({}, 403),
    ],
)
def test_only_our_own_page_may_change_something_by_cookie(
    guarded: Context, headers: dict[str, str], status: int
) -> None:
    sign_in(guarded, token_of(guarded))
    assert submit(guarded, **headers).status_code == status
    jobs = guarded.client.get("/v1/jobs", headers=headers).json["jobs"]
    assert len(jobs) == (status == 202)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/v1/jobs/{'0' * 32}/cancel"),
        ("DELETE", f"/v1/jobs/{'0' * 32}"),
        ("POST", "/v1/batches"),
        ("POST", "/v1/tus"),
        ("PATCH", f"/v1/tus/{'0' * 32}"),
        ("POST", "/v1/webhooks"),
    ],
)
def test_every_unsafe_address_refuses_other_pages(
    guarded: Context, method: str, path: str
) -> None:
    sign_in(guarded, token_of(guarded))
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "3", **OTHER}
    answer = guarded.client.open(path, method=method, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


def test_a_proxy_without_headers_of_its_own_needs_the_public_url(
    make_context: Make,
) -> None:
    context = make_context(api={"auth": True, "public_url": "https://f.example"})
    assert sign_in(context, token_of(context)).status_code == 200
    # The test client, like a browser, sends the Secure cookie over TLS alone.
    ours = {"X-Framemill-Page": "1", "Origin": "https://f.example"}
    answer = context.client.post(
        "/v1/jobs",
        json={"source": OBJECT},
        headers=ours,
        environ_overrides={
            "wsgi.url_scheme": "http",
            "HTTP_COOKIE": sign_in(context, token_of(context))
            .headers["Set-Cookie"]
            .split(";")[0],
        },
    )
    assert answer.status_code == 202


def test_other_pages_sign_nobody_in_or_out(guarded: Context) -> None:
    token = token_of(guarded)
    assert sign_in(guarded, token, **OTHER).status_code == 403
    sign_in(guarded, token)
    assert guarded.client.delete("/session", headers=OTHER).status_code == 403
    assert guarded.client.get("/v1/jobs").status_code == 200


def test_signing_out_ends_the_session_for_every_copy_of_the_cookie(
    guarded: Context,
) -> None:
    sign_in(guarded, token_of(guarded))
    cookie = guarded.client.get_cookie("framemill_session")
    assert cookie is not None
    assert guarded.client.delete("/session").status_code == 204
    assert guarded.client.get_cookie("framemill_session") is None
    guarded.client.set_cookie("framemill_session", cookie.value)
    assert guarded.client.get("/v1/jobs").status_code == 401
    # The page is told, and the browser forgets the cookie.
    assert guarded.client.get("/session").json["signed_in"] is False
    assert guarded.client.get_cookie("framemill_session") is None


def test_a_new_sign_in_ends_the_session_before_it(guarded: Context) -> None:
    first = sign_in(guarded, token_of(guarded)).headers["Set-Cookie"]
    sign_in(guarded, token_of(guarded, owner="ben"))
    guarded.client.delete_cookie("framemill_session")
    old = {"Cookie": first.split(";")[0]}
    assert guarded.client.get("/v1/jobs", headers=old).status_code == 401


@pytest.mark.parametrize("end", ["revoke", "rotate"])
def test_a_session_ends_with_its_key(guarded: Context, end: str) -> None:
    sign_in(guarded, token_of(guarded, id="k1"))
    assert guarded.client.get("/v1/jobs").status_code == 200
    getattr(Keys.connect(guarded.runtime.settings), end)("k1")
    assert guarded.client.get("/v1/jobs").status_code == 401


def test_a_session_ends_after_its_hours(make_context: Make) -> None:
    context = make_context(api={"auth": True, "session_hours": 0.5})
    assert "Max-Age=1800;" in sign_in(context, token_of(context)).headers["Set-Cookie"]
    client = context.runtime.store._client
    (name,) = client.keys(f"{context.runtime.settings.store.prefix}key:session:*")
    assert 0 < client.pttl(name) <= 1_800_000
    client.pexpireat(name, 1)  # as when the time has come
    assert context.client.get("/v1/jobs").status_code == 401


def test_a_session_outlives_the_api(guarded: Context) -> None:
    sign_in(guarded, token_of(guarded))
    cookie = guarded.client.get_cookie("framemill_session")
    assert cookie is not None
    restarted = create_app(guarded.runtime).test_client()
    restarted.set_cookie("framemill_session", cookie.value)
    assert restarted.get("/v1/jobs").status_code == 200


def test_a_key_in_a_header_counts_before_the_cookie(guarded: Context) -> None:
    sign_in(guarded, token_of(guarded, owner="anna"))
    job = submit(guarded, **PAGE).json["id"]
    ben = a_key(guarded, owner="ben")
    assert guarded.client.get(f"/v1/jobs/{job}", headers=ben).status_code == 404
    assert submit(guarded, **ben).status_code == 202


def test_the_rate_of_the_key_counts_for_its_sessions(guarded: Context) -> None:
    token = token_of(guarded, requests_per_second=0.01, burst=2)
    assert sign_in(guarded, token).status_code == 200
    assert guarded.client.get("/v1/jobs").status_code == 200
    assert guarded.client.get("/v1/jobs").status_code == 429
    assert sign_in(guarded, token).status_code == 429


def test_a_key_has_a_hundred_sessions_and_the_oldest_go(guarded: Context) -> None:
    token = token_of(guarded)
    keys = Keys.connect(guarded.runtime.settings)
    made = [keys.sign_in(token, 1 + number / 1000) for number in range(101)]
    alive = [bool(one and keys.admit_session(one)) for one in made]
    assert alive == [False] + [True] * 100


@pytest.mark.parametrize(
    ("after", "leads_to"),
    [
        ("/jobs?status=failed", "http://localhost/jobs?status=failed"),
        ("//evil.example", "http://localhost//evil.example"),
        ("@evil.example", "http://localhost/"),
        ("https://evil.example", "http://localhost/"),
        ("/\r\nX: 1", "http://localhost/%0D%0AX%3A%201"),
    ],
)
def test_a_form_leads_to_an_address_of_ours(
    guarded: Context, after: str, leads_to: str
) -> None:
    form = {"key": token_of(guarded), "next": after}
    answer = guarded.client.post("/session", data=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, leads_to)
    assert guarded.client.get("/v1/jobs").status_code == 200
