"""What every answer carries, and the operators' addresses."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from api.app import create_app
from common.errors import StorageUnavailable
from common.jobs.store import JobStore
from common.settings.load import SettingsError
from common.storage.local import LocalStore
from tests.api.conftest import Context


@pytest.mark.parametrize("path", ["/v1/jobs", "/nowhere", "/docs", "/healthz"])
def test_given_any_answer_then_it_has_an_id_and_guards(
    context: Context, path: str
) -> None:
    answer = context.client.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert len(answer.headers["X-Request-Id"]) == 32


def test_given_a_request_id_then_it_comes_back_also_in_problems(
    context: Context,
) -> None:
    answer = context.client.get("/nowhere", headers={"X-Request-Id": "abc-1"})
    assert answer.headers["X-Request-Id"] == answer.json["request_id"] == "abc-1"


@pytest.mark.parametrize("bad", ["a b", "x" * 129, "é", ""])
def test_given_a_bad_request_id_then_a_fresh_one(context: Context, bad: str) -> None:
    answer = context.client.get("/healthz", headers={"X-Request-Id": bad})
    assert answer.headers["X-Request-Id"] != bad


def test_given_an_allowed_origin_then_cors_headers(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"cors_origins": ["https://a.example"]})
    good = context.client.options(
        "/v1/jobs",
        headers={
            "Origin": "https://a.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "idempotency-key",
        },
    )
    assert good.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "POST" in good.headers["Access-Control-Allow-Methods"]
    assert good.headers["Access-Control-Allow-Headers"] == "idempotency-key"
    other = context.client.get("/healthz", headers={"Origin": "https://b.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_given_no_trusted_proxy_then_forwarded_headers_are_ignored(
    context: Context,
) -> None:
    job = context.submit()
    answer = context.client.get(
        f"/v1/jobs/{job['id']}", headers={"X-Forwarded-Host": "evil.example"}
    )
    assert "evil.example" not in answer.get_data(as_text=True)


def test_given_a_trusted_proxy_then_links_follow_it(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"trusted_proxies": 1})
    job = context.submit()
    answer = context.client.get(
        f"/v1/jobs/{job['id']}",
        headers={"X-Forwarded-Host": "f.example", "X-Forwarded-Proto": "https"},
    )
    assert answer.json["links"]["self"].startswith("https://f.example/v1/jobs/")


def test_given_a_public_url_then_links_begin_with_it(
    make_context: Callable[..., Context],
) -> None:
    context = make_context(api={"public_url": "https://f.example/mill/"})
    assert context.submit()["links"]["self"].startswith("https://f.example/mill/v1/")


def test_given_no_secret_when_built_then_it_says_so(context: Context) -> None:
    runtime = context.runtime
    api = runtime.settings.api.model_copy(update={"secret": "short"})
    settings = runtime.settings.model_copy(update={"api": api})
    bare = type(runtime)(settings, runtime.store, runtime.blobs, runtime.dispatcher)
    with pytest.raises(SettingsError, match="FRAMEMILL_API_SECRET"):
        create_app(bare)


def test_given_a_defect_then_500_without_its_text(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr(JobStore, "list", fail)
    answer = context.client.get("/v1/jobs")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "inner secret" not in answer.get_data(as_text=True)


def test_given_all_parts_when_asked_then_ready(context: Context) -> None:
    context.runtime.store.worker_alive("worker", {})
    context.runtime.store.reap()
    answer = context.client.get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (200, "ok")
    assert (answer.json["workers"], answer.json["reasons"]) == (1, [])


def test_given_no_worker_and_no_reaper_when_asked_then_degraded_but_ready(
    context: Context,
) -> None:
    answer = context.client.get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (200, "degraded")
    worker, reaper = answer.json["reasons"]
    assert worker.startswith("no worker is running")
    assert reaper.startswith("no reaper is running")


def test_given_a_reaper_that_went_silent_when_asked_then_for_how_long(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.runtime.store.worker_alive("worker", {})
    context.runtime.store.reap()
    silent = replace(context.runtime.store.stats(), reaper_seconds=31.4)
    monkeypatch.setattr(JobStore, "stats", lambda _: silent)
    (reason,) = context.client.get("/readyz").json["reasons"]
    assert reason.startswith("the reaper was last seen 31 s ago")


def test_given_storage_away_when_asked_then_503_and_still_healthy(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: LocalStore) -> None:
        raise StorageUnavailable("disk gone")

    monkeypatch.setattr(LocalStore, "check", fail)
    answer = context.client.get("/readyz")
    assert answer.status_code == 503
    assert "disk gone" in answer.json["detail"]
    assert context.client.get("/healthz").status_code == 200


# What a kernel without Landlock answers (worker/media/sandbox/landlock.py).
NO_LANDLOCK = f"Landlock: {os.strerror(errno.ENOSYS)}"
WITHOUT_LANDLOCK = {
    "active": ["capabilities", "seccomp"],
    "missing": {"landlock": NO_LANDLOCK},
}


def test_given_a_worker_without_a_layer_when_asked_then_degraded_by_its_name(
    context: Context,
) -> None:
    context.runtime.store.worker_alive("a:1", {"sandbox": WITHOUT_LANDLOCK})
    whole = {"active": ["capabilities", "landlock", "seccomp"], "missing": {}}
    context.runtime.store.worker_alive("b:2", {"sandbox": whole})
    context.runtime.store.reap()

    answer = context.client.get("/readyz")

    assert (answer.status_code, answer.json["status"]) == (200, "degraded")
    (reason,) = answer.json["reasons"]
    assert reason.startswith("worker a:1 decodes files without the layer landlock")
    assert reason.endswith(f": {NO_LANDLOCK}")


def test_given_workers_when_scraped_then_their_layers_are_counted(
    context: Context,
) -> None:
    context.runtime.store.worker_alive("a:1", {"sandbox": WITHOUT_LANDLOCK})
    context.runtime.store.worker_alive("b:2", {"sandbox": WITHOUT_LANDLOCK})
    context.runtime.store.worker_alive("old:3", {})

    text = context.client.get("/metrics").get_data(as_text=True)

    assert 'framemill_sandbox_workers{active="yes",layer="seccomp"} 2.0' in text
    assert 'framemill_sandbox_workers{active="no",layer="landlock"} 2.0' in text
    assert 'active="yes",layer="landlock"' not in text


def test_given_a_waiting_job_when_scraped_then_depth_and_requests(
    context: Context,
) -> None:
    posts = 'framemill_http_requests_total{method="POST",route="/v1/jobs",status="202"}'
    before = scraped(context).get(posts, 0)
    context.submit()

    figures = scraped(context)

    assert figures['framemill_tasks_pending{queue="fast"}'] == 1
    assert figures["framemill_jobs_accepted_total"] == 1
    assert figures["framemill_store_up"] == 1
    assert figures[posts] == before + 1


def scraped(context: Context) -> dict[str, float]:
    """Return what /metrics says, by its names and labels as printed."""
    text = context.client.get("/metrics").get_data(as_text=True)
    lines = [line.rpartition(" ") for line in text.splitlines() if line[:1] != "#"]
    return {name: float(value) for name, _, value in lines}
