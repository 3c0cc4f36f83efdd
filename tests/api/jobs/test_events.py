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


def of_many(client, *jobs, **headers):
    return client.get(f"/v1/events?jobs={','.join(jobs)}", headers=headers)


def test_one_stream_tells_of_many_jobs_in_order_and_ends_with_the_last(api_context):
    runtime, client = api_context
    first, second = new_job(runtime), new_job(runtime)
    runtime.store.cancel(first)
    runtime.store.cancel(second)
    answer = of_many(client, first, second)
    assert answer.mimetype == "text/event-stream"
    events = read_events(answer.text)
    told = [(one["data"]["job_id"], one["event"]) for one in events]
    assert told[0] == (first, "job.accepted")
    assert told[-1] == (second, "job.cancelled")
    assert (second, "job.accepted") in told
    ids = [one["id"] for one in events]
    assert ids == sorted(ids, key=lambda one: [int(part) for part in one.split("-")])


def test_it_tells_of_the_job_that_goes_on_while_another_has_ended(api_context):
    runtime, client = api_context
    ended, running = new_job(runtime), new_job(runtime)
    runtime.store.cancel(ended)
    chunks = iter(of_many(client, ended, running).response)
    seen = ""
    while "event: progress" not in seen:
        seen += next(chunks).decode()
    timer = threading.Timer(0.1, runtime.store.cancel, args=(running,))
    timer.start()
    seen += b"".join(chunks).decode()
    timer.join()
    last = read_events(seen)[-1]
    assert (last["event"], last["data"]["job_id"]) == ("job.cancelled", running)


def test_a_job_that_is_deleted_leaves_the_stream(api_context):
    runtime, client = api_context
    gone, kept = new_job(runtime), new_job(runtime)
    stream = iter(of_many(client, gone, kept, "0" * 32).response)
    seen = ""
    while "event: progress" not in seen:
        seen += next(stream).decode()
    runtime.store.delete(gone)
    runtime.store.cancel(kept)
    events = read_events(seen + b"".join(stream).decode())
    deleted = [one["data"] for one in events if one["event"] == "job.deleted"]
    assert deleted == [{"job_id": "0" * 32}, {"job_id": gone}]
    assert events[-1]["event"] in {"job.cancelled", "job.deleted"}


def test_a_page_that_comes_back_misses_nothing_of_any_job(api_context, monkeypatch):
    monkeypatch.setattr("api.jobs.events._PAGE", 2)
    runtime, client = api_context
    jobs = [new_job(runtime) for _ in range(3)]
    for job in jobs:
        runtime.store.cancel(job)
    whole = read_events(of_many(client, *jobs).text)
    assert len(whole) > 6
    for place, last in enumerate(whole):
        if "id" not in last:
            continue
        rest = read_events(of_many(client, *jobs, **{"Last-Event-ID": last["id"]}).text)
        told = {(one["data"]["job_id"], one["id"]) for one in rest}
        later = {(one["data"]["job_id"], one["id"]) for one in whole[place + 1 :]}
        assert later <= told
        # Only what happened in the same millisecond is told twice.
        moment = last["id"].partition("-")[0]
        again = {event.partition("-")[0] for _, event in told - later}
        assert again <= {moment}


def test_a_page_that_has_heard_all_ends_is_told_not_to_come_back(api_context):
    runtime, client = api_context
    job = new_job(runtime)
    runtime.store.cancel(job)
    future = f"{2**62}-0"
    assert of_many(client, job, **{"Last-Event-ID": future}).status_code == 204
    assert of_many(client, job, **{"Last-Event-ID": "x"}).status_code == 422


@pytest.mark.parametrize(
    "ids", ["", "x", ",", "0" * 32 + ",", ",".join(f"{n:032x}" for n in range(51))]
)
def test_ids_that_are_none_or_too_many_are_refused(api_context, ids):
    _, client = api_context
    answer = client.get(f"/v1/events?jobs={ids}")
    assert (answer.status_code, answer.json["pointer"]) == (422, "/jobs")
    assert client.get("/v1/events").status_code == 422


def test_jobs_of_others_have_no_common_stream(api_context):
    runtime, client = api_context
    theirs = accept_job(runtime, owner="somebody")
    assert of_many(client, theirs).status_code == 404
    mine = new_job(runtime)
    runtime.store.cancel(mine)
    events = read_events(of_many(client, mine, theirs).text)
    assert {one["event"] for one in events if one["data"]["job_id"] == theirs} == {
        "job.deleted"
    }


def test_a_stream_of_many_counts_as_one(api_context):
    runtime, client = api_context
    jobs = [new_job(runtime) for _ in range(4)]
    held = [of_many(client, *jobs) for _ in range(2)]
    refused = of_many(client, *jobs)
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    for one in held:
        one.close()
