"""What every answer carries, whatever it is: a document, an error, a file, a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from common.jobs.store import JobStore
from tests.api.conftest import OBJECT, Context, a_file, post_form
from tests.api.http.test_auth import a_key

SITE = "https://site.example"
SECURITY_HEADERS = {
    "X-Content-Type-Options": {"nosniff"},
    "Referrer-Policy": {"no-referrer"},
    "X-Frame-Options": {"DENY"},
    "Cross-Origin-Resource-Policy": {"same-origin", "cross-origin"},
}
TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "3"}
Ask = Callable[[Context, dict[str, Any]], TestResponse]


def asking(method: str, path: str, **more: Any) -> Ask:
    def ask(context: Context, headers: dict[str, Any]) -> TestResponse:
        given = {**headers, **more.get("headers", {})}
        rest = {name: value for name, value in more.items() if name != "headers"}
        return context.client.open(path, method=method, headers=given, **rest)

    return ask


def made(context: Context) -> dict[str, Any]:
    job: dict[str, Any] = post_form(context, {"file": a_file()}).json
    record = context.runtime.store.get(job["id"])
    assert record is not None
    context.make(job["id"])
    with context.runtime.blobs.writer(
        _key(context, job), content_type="image/gif"
    ) as file:
        file.write(b"GIF")
        file.commit()
    shown: dict[str, Any] = context.client.get(f"/v1/jobs/{job['id']}").json
    return shown


def _key(context: Context, job: dict[str, Any]) -> str:
    record = context.runtime.store.get(job["id"])
    assert record is not None
    return record.outputs[0].artifacts[0].key


def shown(context: Context, headers: dict[str, Any]) -> TestResponse:
    return context.client.get(f"/v1/jobs/{made(context)['id']}", headers=headers)


def unchanged(context: Context, headers: dict[str, Any]) -> TestResponse:
    path = f"/v1/jobs/{made(context)['id']}"
    tag = context.client.get(path).headers["ETag"]
    return context.client.get(path, headers={**headers, "If-None-Match": tag})


def deleted(context: Context, headers: dict[str, Any]) -> TestResponse:
    return context.client.delete(f"/v1/jobs/{made(context)['id']}", headers=headers)


def streamed(context: Context, headers: dict[str, Any]) -> TestResponse:
    return context.client.get(f"/v1/jobs/{made(context)['id']}/events", headers=headers)


def redirected(context: Context, headers: dict[str, Any]) -> TestResponse:
    return context.client.get(made(context)["links"]["thumbnail"], headers=headers)


def filed(context: Context, headers: dict[str, Any]) -> TestResponse:
    grant = redirected(context, headers).headers["Location"]
    return context.client.get(grant, headers=headers)


def ranged(context: Context, headers: dict[str, Any]) -> TestResponse:
    grant = redirected(context, headers).headers["Location"]
    return context.client.get(grant, headers={**headers, "Range": "bytes=0-0"})


def failed(context: Context, headers: dict[str, Any]) -> TestResponse:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobStore, "list", lambda *_, **__: 1 / 0)
        return context.client.get("/v1/jobs", headers=headers)


ANSWERS: dict[int | str, tuple[int, Ask]] = {
    "a document": (200, shown),
    "a list": (200, asking("GET", "/v1/jobs")),
    "a head": (200, asking("HEAD", "/v1/jobs")),
    "nothing new": (304, unchanged),
    "nothing left": (204, deleted),
    "accepted": (202, asking("POST", "/v1/jobs", json={"source": OBJECT})),
    "created": (201, asking("POST", "/v1/uploads", json={"size": 3})),
    "a redirect": (302, redirected),
    "a file": (200, filed),
    "a part of a file": (206, ranged),
    "a stream": (200, streamed),
    "a page": (200, asking("GET", "/docs")),
    "a page of errors": (200, asking("GET", "/docs/errors")),
    "an asset": (200, asking("GET", "/static/swagger-ui/swagger-ui.css")),
    "the OpenAPI document": (200, asking("GET", "/openapi.json")),
    "health": (200, asking("GET", "/healthz")),
    "metrics": (200, asking("GET", "/metrics")),
    "tus options": (204, asking("OPTIONS", "/v1/tus")),
    "a tus version": (412, asking("POST", "/v1/tus")),
    "a tus upload": (
        201,
        asking("POST", "/v1/tus", headers=TUS),
    ),
    "broken JSON": (
        400,
        asking("POST", "/v1/jobs", data=b"{", content_type="application/json"),
    ),
    "no such address": (404, asking("GET", "/nowhere")),
    "no such asset": (404, asking("GET", "/static/none.css")),
    "a forged link": (403, asking("GET", "/blobs/out/x")),
    "no such method": (405, asking("PATCH", "/v1/jobs")),
    "a wrong type": (415, asking("POST", "/v1/jobs", data=b"x")),
    "not valid": (422, asking("POST", "/v1/jobs", json={})),
    "a defect": (500, failed),
}


@pytest.fixture(params=ANSWERS)
def answer(
    request: pytest.FixtureRequest, make_context: Callable[..., Context]
) -> Iterator[TestResponse]:
    status, ask = ANSWERS[request.param]
    context = make_context(api={"cors_origins": [SITE]})
    found = ask(context, {"Origin": SITE, "X-Request-Id": "mine-1"})
    assert found.status_code == status, found.get_data(as_text=True)
    yield found
    found.close()


def test_it_has_the_guards_once(answer: TestResponse) -> None:
    for name, allowed in SECURITY_HEADERS.items():
        assert answer.headers.getlist(name) in [[one] for one in allowed], name
    (policy,) = answer.headers.getlist("Content-Security-Policy")
    assert "default-src 'none'" in policy
    # Files of callers run nothing at all, wherever they are shown.
    assert "frame-ancestors 'none'" in policy or policy.endswith("; sandbox")


def test_it_has_the_requests_id_once(answer: TestResponse) -> None:
    assert answer.headers.getlist("X-Request-Id") == ["mine-1"]


def test_it_may_be_read_by_the_allowed_site(answer: TestResponse) -> None:
    assert answer.headers.getlist("Access-Control-Allow-Origin") == [SITE]
    assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_it_tells_no_program_and_no_version(answer: TestResponse) -> None:
    assert "X-Powered-By" not in answer.headers
    assert "Server" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/uploads", "/v1/webhooks", "/v1/jobs/x/cancel"]
)
def test_a_preflight_needs_no_key(
    make_context: Callable[..., Context], path: str
) -> None:
    context = make_context(api={"auth": True, "cors_origins": [SITE]})
    answer = context.client.options(
        path,
        headers={
            "Origin": SITE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization"
    assert answer.headers["Access-Control-Allow-Origin"] == SITE


def test_every_site_is_allowed_by_a_star(make_context: Callable[..., Context]) -> None:
    context = make_context(api={"cors_origins": ["*"]})
    answer = context.client.get("/healthz", headers={"Origin": SITE})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_no_site_is_allowed_by_default(context: Context) -> None:
    answer = context.client.get("/healthz", headers={"Origin": SITE})
    assert not [name for name, _ in answer.headers if name.startswith("Access-")]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/uploads", "/v1/webhooks"])
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}])
def test_a_body_over_the_limit_is_413(
    make_context: Callable[..., Context], path: str, key: dict[str, str]
) -> None:
    context = make_context(api={"auth": True}, limits={"json_bytes": 2000})
    headers = {**a_key(context), **key}
    answer = context.client.post(path, json={"x": "y" * 3000}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def test_a_chain_of_proxies_counts_from_the_nearest(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"trusted_proxies": 2})
    answer = context.client.post(
        "/v1/jobs",
        json={"source": OBJECT},
        headers={
            "X-Forwarded-Host": "forged.example, f.example, inner",
            "X-Forwarded-Proto": "https, https, http",
            "X-Forwarded-Prefix": "/mill, /",
        },
    )
    assert answer.headers["Location"].startswith("https://f.example/mill/v1/jobs/")
