"""Following real jobs by server-sent events, with a client of the trade."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests
from sseclient import Event, SSEClient

from tests.chaos.service import Service
from tests.conftest import SAMPLE
from tests.e2e.context import THUMBNAIL, assert_pictures

TRANSFERS = 8
CAP = TRANSFERS // 4


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("stream")
    with Service(folder, FRAMEMILL_API_TRANSFERS=str(TRANSFERS)) as running:
        yield running


def submit(service: Service) -> str:
    return service.submit(SAMPLE, THUMBNAIL)


def connect(service: Service, job: str, after: str | None = None) -> requests.Response:
    return requests.get(
        f"{service.url}/v1/jobs/{job}/events",
        headers={"Last-Event-ID": after} if after else {},
        stream=True,
        timeout=60,
    )


@contextmanager
def following(
    service: Service, job: str, after: str | None = None
) -> Iterator[Iterator[Event]]:
    with connect(service, job, after) as answer:
        assert answer.status_code == 200, answer.text
        yield SSEClient(answer).events()


def kept(events: Iterator[Event]) -> list[tuple[str, Any]]:
    """Return the ids and types of the events that a client may come back to."""
    return [(one.id, json.loads(one.data)["type"]) for one in events if one.id]


def test_a_client_hears_a_job_from_its_acceptance_to_its_end(service: Service) -> None:
    job = submit(service)

    with following(service, job) as events:
        types = [kind for _, kind in kept(events)]

    assert types[0] == "job.accepted"
    assert types[-1] == "job.completed"
    assert "output.succeeded" in types
    assert_pictures(service, job)


def test_a_client_that_comes_back_hears_the_rest_once(service: Service) -> None:
    with service.stopped("worker"):
        job = submit(service)
        with following(service, job) as events:
            first = next(event for event in events if event.id)

    with following(service, job, first.id) as events:
        rest = kept(events)
    with following(service, job) as events:
        whole = kept(events)

    assert json.loads(first.data)["type"] == "job.accepted"
    assert whole == [(first.id, "job.accepted"), *rest]
    assert rest[-1][1] == "job.completed"
    assert connect(service, job, rest[-1][0]).status_code == 204


def test_a_client_comes_back_to_an_api_that_was_killed(service: Service) -> None:
    with service.stopped("worker"):
        job = submit(service)
        with following(service, job) as events:
            first = next(event for event in events if event.id)
            service.restart("api")
            with pytest.raises(requests.RequestException):
                list(events)

    service.await_ready()
    with following(service, job, first.id) as events:
        assert kept(events)[-1][1] == "job.completed"


def test_a_client_over_the_cap_is_told_to_poll_and_polls(service: Service) -> None:
    with ExitStack() as stack:
        with service.stopped("worker"):
            job = submit(service)
            streams = [stack.enter_context(following(service, job)) for _ in range(CAP)]
            for stream in streams:
                next(stream)

            refused = connect(service, job)

        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert f"GET /v1/jobs/{job}" in refused.json()["hint"]
        assert_pictures(service, job)
        for stream in streams:
            assert kept(stream)[-1][1] == "job.completed"
