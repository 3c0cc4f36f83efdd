"""What operators see of the service, and tasks that were given up, run again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from common.errors import StoreUnavailable
from common.jobs.store import JobStore
from common.model import ErrorInfo
from tests.api.conftest import Context
from tests.api.http.test_auth import a_key, submit

Make = Callable[..., Context]
PATH = "/v1/operations"
BAD = ErrorInfo(code="decode_error", title="Bad", detail="nothing decodes")


@pytest.fixture
def guarded(make_context: Make) -> Context:
    return make_context(api={"auth": True})


def shown(context: Context, **headers: Any) -> dict[str, Any]:
    answer = context.client.get(PATH, **headers)
    assert answer.status_code == 200, answer.json
    document: dict[str, Any] = answer.json
    return document


def kill(context: Context, task: str) -> None:
    """Let workers die on a task until it is given up."""
    store = context.runtime.store
    for number in range(context.runtime.settings.lease.max_deaths):
        store.claim(task, f"token{number}", "host:1")
        store.died(task, f"token{number}")


def redrive(context: Context, task: str, **more: Any) -> Any:
    return context.client.post(f"{PATH}/dead-letters/{task}/redrive", **more)


def test_an_empty_service_has_nothing_to_show_but_what_is_missing(
    context: Context,
) -> None:
    document = shown(context)

    assert document["status"] == "degraded"
    assert any("no worker is running" in one for one in document["reasons"])
    assert document["workers"] == document["failures"] == document["dead_letters"] == []
    assert document["dead"] == 0
    empty = {"ready": 0, "delayed": 0, "running": 0}
    none = {"oldest_task": None, "oldest_seconds": None}
    assert document["queues"] == [
        {"name": "fast", **empty, **none},
        {"name": "slow", **empty, **none},
    ]


def test_the_queues_follow_the_tasks(context: Context) -> None:
    first, second = (context.submit()["id"] for _ in range(2))
    fast, slow = shown(context)["queues"]
    assert (fast["ready"], fast["running"]) == (2, 0)
    assert fast["oldest_task"] == f"{first}:prepare"
    assert 0 <= fast["oldest_seconds"] < 60

    context.claim(f"{first}:prepare")
    fast, slow = shown(context)["queues"]
    assert (fast["ready"], fast["running"]) == (1, 1)
    assert fast["oldest_task"] == f"{second}:prepare"
    assert (slow["ready"], slow["running"]) == (0, 0)


def test_the_minutes_count_what_became_of_jobs(context: Context) -> None:
    context.make(context.submit()["id"])
    failed = context.submit()["id"]
    claim = context.claim(f"{failed}:prepare")
    context.runtime.store.release(claim, "fatal", error=BAD)
    cancelled = context.submit()["id"]
    context.client.post(f"/v1/jobs/{cancelled}/cancel")
    context.submit()

    document = shown(context)

    minutes = document["minutes"]
    assert len(minutes) == 60
    names = ("accepted", "completed", "partial", "failed", "cancelled")
    counted = {name: sum(one[name] for one in minutes) for name in names}
    assert list(counted.values()) == [4, 1, 0, 1, 1]
    assert all(one["accepted"] == 0 for one in minutes[:-2]), "only just now"
    times = [datetime.fromisoformat(one["at"]).timestamp() for one in minutes]
    assert {after - before for before, after in itertools.pairwise(times)} == {60}
    assert 0 <= datetime.fromisoformat(document["at"]).timestamp() - times[-1] < 60
    assert document["failures"] == [{"code": "decode_error", "tasks": 1}]
    assert document["jobs"]["completed"] == document["jobs"]["failed"] == 1


def test_a_worker_is_shown_with_its_queues_and_its_clock(context: Context) -> None:
    info = {"queues": ["fast"], "clock_skew": -1.5}
    context.runtime.store.worker_alive("host:7", info)
    context.runtime.store.reap()

    document = shown(context)

    (worker,) = document["workers"]
    assert (worker["name"], worker["queues"]) == ("host:7", ["fast"])
    assert worker["clock_skew"] == -1.5
    seen = datetime.fromisoformat(worker["seen_at"])
    age = datetime.fromisoformat(document["at"]) - seen
    assert abs(age.total_seconds()) < 30
    (reason,) = document["reasons"]
    assert document["status"] == "degraded"
    assert reason == "no worker takes tasks of the queue 'slow': they wait"
    assert document["reaper_seconds"] < 30


def test_a_dead_letter_says_what_died_where_and_why(context: Context) -> None:
    job = context.submit()["id"]
    kill(context, f"{job}:prepare")

    document = shown(context)

    assert document["dead"] == 1
    (letter,) = document["dead_letters"]
    assert (letter["task"], letter["job_id"]) == (f"{job}:prepare", job)
    assert letter["error"]["code"] == "worker_lost"
    assert "process died" in letter["error"]["detail"]
    assert letter["attempts"] == context.runtime.settings.lease.max_deaths
    assert letter["job"].endswith(f"/v1/jobs/{job}")
    assert not letter["gone"]


def test_a_dead_letter_is_redriven_once(context: Context) -> None:
    job = context.submit()["id"]
    task = f"{job}:prepare"
    kill(context, task)
    assert context.client.get(f"/v1/jobs/{job}").json["status"] == "failed"
    context.dispatcher.messages.clear()

    first, second = redrive(context, task), redrive(context, task)

    assert (first.status_code, first.json) == (202, {"task": task, "queued": [task]})
    assert (second.status_code, second.json) == (202, {"task": task, "queued": []})
    assert [message.task for message in context.dispatcher.messages] == [task]
    assert shown(context)["dead_letters"] == []
    context.make(job)
    assert context.client.get(f"/v1/jobs/{job}").json["status"] == "completed"


def test_a_repeat_by_key_gets_the_first_answer(context: Context) -> None:
    task = f"{context.submit()['id']}:prepare"
    kill(context, task)
    key = {"Idempotency-Key": "k"}
    first, again = (redrive(context, task, headers=key) for _ in range(2))
    assert first.json == again.json == {"task": task, "queued": [task]}
    assert again.headers["Idempotent-Replayed"] == "true"


def test_what_succeeded_is_not_run_again(context: Context) -> None:
    job = context.submit()["id"]
    context.make(job)
    answer = redrive(context, f"{job}:o:thumbnail")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "has succeeded" in answer.json["detail"]


@pytest.mark.parametrize(
    "task", [f"{'0' * 32}:prepare", f"{'0' * 32}:n:1", "none", f"{'0' * 32}:o:A"]
)
def test_an_unknown_task_is_404(context: Context, task: str) -> None:
    answer = redrive(context, task)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert answer.json["hint"]


def test_an_expired_job_is_said_to_be_gone(context: Context) -> None:
    job = context.submit()["id"]
    task = f"{job}:prepare"
    kill(context, task)
    store = context.runtime.store
    prefix = context.runtime.settings.store.prefix
    store._client.delete(f"{prefix}piece:{task}", f"{prefix}job:{job}")

    (letter,) = shown(context)["dead_letters"]
    assert (letter["gone"], letter["job"]) == (True, None)
    assert redrive(context, task).status_code == 404


@pytest.mark.parametrize("scopes", [["read"], ["submit"], ["read", "submit"]])
def test_without_the_scope_admin_it_is_403(guarded: Context, scopes: list[str]) -> None:
    headers = a_key(guarded, scopes=scopes)
    task = f"{'0' * 32}:prepare"
    answers = [
        guarded.client.get(PATH, headers=headers),
        redrive(guarded, task, headers=headers),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
        assert "'admin'" in answer.json["detail"]
    assert guarded.client.get(PATH).status_code == 401
    assert redrive(guarded, task).status_code == 401


def test_an_operator_sees_and_redrives_the_tasks_of_every_owner(
    guarded: Context,
) -> None:
    job = submit(guarded, a_key(guarded, owner="anna")).json["id"]
    kill(guarded, f"{job}:prepare")
    admin = a_key(guarded, owner="ops", scopes=["admin"])

    (letter,) = shown(guarded, headers=admin)["dead_letters"]

    assert (letter["owner"], letter["job"]) == ("anna", None)
    answer = redrive(guarded, letter["task"], headers=admin)
    assert answer.json["queued"] == [letter["task"]]


def test_links_lead_to_metrics_and_to_flower_where_it_is(make_context: Make) -> None:
    links = shown(make_context())["links"]
    assert (links["metrics"], links["flower"]) == ("http://localhost/metrics", None)
    elsewhere = make_context(api={"flower_public_url": "https://flower.example"})
    assert shown(elsewhere)["links"]["flower"] == "https://flower.example"


def test_a_store_that_is_away_is_503(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: JobStore) -> None:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(JobStore, "activity", away)
    assert context.client.get(PATH).status_code == 503
