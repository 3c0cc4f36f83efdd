"""What is taken of a caller's trace, and what every job is stored with."""

from __future__ import annotations

import pytest

from common.jobs.store import Accepted
from common.model import JobOrigin
from tests.api.conftest import OBJECT, Context

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PLACE = f"00-{TRACE}-{PARENT}-01"


def origin_of(context: Context, **headers: str) -> JobOrigin | None:
    """Submit a job with these headers; return what it is stored with."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = context.client.post(
        "/v1/jobs",
        json={"source": {"s3": {"bucket": "framemill", "key": "a.mp4"}}},
        headers=names,
    )
    assert answer.status_code == 202, answer.json
    job = context.runtime.store.get(answer.json["id"])
    assert job is not None
    assert "origin" not in answer.get_data(as_text=True)
    return job.options.origin


def test_a_job_is_stored_with_its_request_and_its_place_in_a_trace(context: Context):
    origin = origin_of(
        context, X_Request_Id="r-1", traceparent=PLACE, tracestate="vendor=1,b=2"
    )

    assert origin == JobOrigin(
        request_id="r-1", traceparent=PLACE, tracestate="vendor=1,b=2"
    )
    assert origin.trace_id == TRACE


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (f"cc-{TRACE}-{PARENT}-01-what-is-new", f"00-{TRACE}-{PARENT}-01"),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        ("", None),
    ],
)
def test_only_a_valid_traceparent_is_taken(context: Context, given, taken):
    origin = origin_of(context, traceparent=given, tracestate="a=1")

    assert origin is not None
    assert origin.traceparent == taken
    assert origin.tracestate == (taken and "a=1")


def test_the_request_of_one_job_is_not_that_of_the_next(context: Context):
    first = origin_of(context, traceparent=PLACE)
    second = origin_of(context)

    assert second is not None
    assert second.traceparent is None
    assert first is not None
    assert second.request_id != first.request_id


def test_a_batch_and_its_jobs_are_stored_with_its_request(context: Context):
    answer = context.client.post(
        "/v1/batches",
        json={"sources": [OBJECT]},
        headers={"X-Request-Id": "r-2", "traceparent": PLACE},
    )
    assert answer.status_code == 202, answer.json
    batch_id = answer.json["id"]
    assert "origin" not in context.client.get(f"/v1/batches/{batch_id}").text

    claim = context.claim(f"{batch_id}:batch")
    batch = context.runtime.store.batch(batch_id)
    assert batch is not None
    [source] = context.runtime.store.batch_sources(batch_id, 0, 1)
    made = context.runtime.batches.make_job(claim, batch, source, "0")
    assert isinstance(made, Accepted)
    job = context.runtime.store.get(made.job_id)
    assert job is not None

    origin = JobOrigin(request_id="r-2", traceparent=PLACE)
    assert claim.options.origin == origin
    assert job.options.origin == origin
