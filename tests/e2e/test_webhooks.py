"""Webhooks of real jobs to a receiver that fails for a while."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from tests.chaos.service import Service, until
from tests.conftest import SAMPLE
from tests.e2e.world import THUMBNAIL
from tests.worker.receiver import Receiver, Reply, Request, receiving
from tests.worker.world import SECRET

EVENTS = ["job.accepted", "output.succeeded", "job.completed"]
REFUSALS = 2


class Patchy:
    """Refuses each event twice before it takes it."""

    def __init__(self) -> None:
        self.came: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()

    def __call__(self, request: Request) -> Reply:
        Webhook(SECRET).verify(request.body, request.headers)
        message = request.headers["webhook-id"]
        self.came[message] += 1
        if self.came[message] <= REFUSALS:
            return Reply(503)
        self.taken[message] += 1
        return Reply(204, body=b"")


@pytest.fixture
def patchy() -> Patchy:
    return Patchy()


@pytest.fixture
def receiver(patchy: Patchy) -> Iterator[Receiver]:
    with receiving(patchy) as server:
        yield server


@pytest.fixture
def service(
    receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    given = {
        "FRAMEMILL_WEBHOOKS_SECRET": SECRET,
        "FRAMEMILL_WEBHOOKS_RETRY_SECONDS": "0.2,0.2,0.2",
        "FRAMEMILL_EGRESS_HTTP": "true",
        "FRAMEMILL_EGRESS_PORTS": str(receiver.port),
        "FRAMEMILL_EGRESS_PRIVATE_NETWORKS": "127.0.0.0/8",
    }
    with Service(tmp_path_factory.mktemp("webhooks"), **given) as running:
        yield running


def deliveries(service: Service) -> list[dict[str, str]]:
    answer = requests.get(f"{service.url}/v1/webhooks/deliveries", timeout=20)
    return answer.json()["deliveries"]


def test_a_receiver_that_fails_for_a_while_gets_each_event_once_and_again_by_replay(
    service: Service, receiver: Receiver, patchy: Patchy
) -> None:
    hook = {"type": "webhook", "url": f"{receiver.url}/hook", "events": EVENTS}

    with SAMPLE.open("rb") as file:
        answer = requests.post(
            f"{service.url}/v1/jobs",
            files={"file": file},
            data={"outputs": json.dumps(THUMBNAIL), "notify": json.dumps([hook])},
            timeout=20,
        )
    assert answer.status_code == 202, answer.text
    until(lambda: len(patchy.taken) == len(EVENTS), 60, "each event was taken")
    until(
        lambda: {one["status"] for one in deliveries(service)} == {"succeeded"},
        20,
        "the log says so",
    )

    assert set(patchy.came.values()) == {REFUSALS + 1}
    assert set(patchy.taken.values()) == {1}
    log = deliveries(service)
    assert sorted(one["event"] for one in log) == sorted(EVENTS)
    assert {one["message_id"] for one in log} == set(patchy.taken)
    assert {len(one["attempts"]) for one in log} == {REFUSALS + 1}

    path = f"/v1/webhooks/deliveries/{log[0]['id']}/replay"
    replayed = requests.post(service.url + path, timeout=20)

    assert replayed.status_code == 202, replayed.text
    again = log[0]["message_id"]
    until(lambda: patchy.taken[again] == 2, 20, "the event came again")
    assert sum(patchy.taken.values()) == len(EVENTS) + 1
