"""Following a job by server-sent events."""

from __future__ import annotations

import threading

import pytest

from tests.api.context import make_app, read_events
from tests.worker.context import accept_job


@pytest.fixture
def api_context(tmp_path):
    return make_app(tmp_path)


def new_job(runtime):
    return accept_job(runtime, owner="")


def test_a_stream_tells_the_whole_history_and_ends_with_the_job(api_context):
    runtime, client = api_context
    job = new_job(runtime)
    runtime.store.cancel(job)
    answer = client.get(f"/v1/jobs/{job}/events")
    assert answer.mimetype == "text/event-stream"
    events = read_events(answer.text)
    assert events[0]["event"] == "job.accepted"
    assert events[-1]["event"] == "job.cancelled"
    assert events[0]["data"]["job_id"] == job
    assert answer.text.startswith("retry: ")


def test_a_stream_tells_what_happens_while_it_runs(api_context):
    runtime, client = api_context
    job = new_job(runtime)
    chunks = iter(client.get(f"/v1/jobs/{job}/events").response)
    seen = ""
    while "event: progress" not in seen:
        seen += next(chunks).decode()
    timer = threading.Timer(0.1, runtime.store.cancel, args=(job,))
    timer.start()
    seen += b"".join(chunks).decode()
    timer.join()
    assert [one["event"] for one in read_events(seen)][-1] == "job.cancelled"


def test_a_client_that_comes_back_misses_nothing_and_hears_nothing_twice(api_context):
    runtime, client = api_context
    job = new_job(runtime)
    runtime.store.cancel(job)
    path = f"/v1/jobs/{job}/events"
    ids = [one["id"] for one in read_events(client.get(path).text) if "id" in one]
    again = client.get(path, headers={"Last-Event-ID": ids[0]})
    assert [one["id"] for one in read_events(again.text)] == ids[1:]


def test_a_client_that_has_heard_the_end_is_told_not_to_come_back(api_context):
    runtime, client = api_context
    job = new_job(runtime)
    runtime.store.cancel(job)
    path = f"/v1/jobs/{job}/events"
    last = read_events(client.get(path).text)[-1]["id"]
    assert client.get(path, headers={"Last-Event-ID": last}).status_code == 204


@pytest.mark.parametrize("seen", ["x", "1-", f"{2**64}", f"1-{2**64}"])
def test_an_id_that_is_none_is_refused(api_context, seen):
    runtime, client = api_context
    job = new_job(runtime)
    answer = client.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": seen})
    assert answer.status_code == 422


def test_streams_over_the_cap_are_told_to_poll_and_places_come_back(api_context):
    runtime, client = api_context
    job = new_job(runtime)
    path = f"/v1/jobs/{job}/events"
    held = [client.get(path) for _ in range(2)]
    refused = client.get(path)
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert "poll GET" in refused.json["hint"]
    assert int(refused.headers["Retry-After"]) > 0
    held[0].close()
    again = client.get(path)
    assert again.status_code == 200
    for one in (held[1], again):
        one.close()


@pytest.mark.parametrize("job", ["x", "0" * 32])
def test_an_unknown_job_has_no_stream(api_context, job):
    _, client = api_context
    assert client.get(f"/v1/jobs/{job}/events").status_code == 404


def test_another_owners_job_has_no_stream(api_context):
    runtime, client = api_context
    job = accept_job(runtime, owner="somebody")
    assert client.get(f"/v1/jobs/{job}/events").status_code == 404
