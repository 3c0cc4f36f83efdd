"""Webhooks and destinations with real workers: the service, a receiver, storage."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from common.access.keys import KeyRecord, Keys, new_key_id
from common.settings.load import Settings
from tests.conftest import SAMPLE
from tests.e2e.allinone import AllInOne, running
from tests.worker.receiver import Receiver, Reply, Request, receiving

SECONDS = 120.0
OUTPUTS = [{"kind": "thumbnail", "width": 64}]


@dataclass
class Moody:
    """Refuses the first ``refusals`` requests; ``taken`` are the bodies it accepted."""

    refusals: int = 0
    taken: list[Request] = field(default_factory=list)
    refused: list[Request] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def answer(self, request: Request) -> Reply:
        with self.news:
            if len(self.refused) < self.refusals:
                self.refused.append(request)
                return Reply(503)
            self.taken.append(request)
            self.news.notify_all()
            return Reply(204, body=b"")

    def reset(self, refusals: int = 0) -> None:
        with self.news:
            self.refusals, self.taken, self.refused = refusals, [], []

    def await_taken(self, count: int) -> list[Request]:
        with self.news:
            assert self.news.wait_for(lambda: len(self.taken) >= count, SECONDS)
            return list(self.taken)


@dataclass
class Caller:
    """Talks to the service with a key."""

    service: AllInOne
    key: str

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", "Prefer": "wait=60"}
        body = None
        if document is not None:
            body = json.dumps(document).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(
            self.service.url + path, data=body, headers=headers, method=method
        )
        with urllib.request.urlopen(request, timeout=70) as answer:
            return json.loads(answer.read() or b"null")

    def make(self, **more: Any) -> Any:
        """Run the sample through an upload that has its job attached."""
        size = SAMPLE.stat().st_size
        job = {"outputs": OUTPUTS, **more}
        upload = self.ask("POST", "/v1/uploads", {"size": size, "job": job})
        put = urllib.request.Request(
            upload["put"]["url"],
            data=SAMPLE.read_bytes(),
            headers=upload["put"]["headers"],
            method="PUT",
        )
        urllib.request.urlopen(put, timeout=60).close()
        self.ask("POST", f"/v1/uploads/{upload['id']}/complete")
        return self.ask("GET", f"/v1/jobs/{upload['id']}")

    def deliveries(self, job_id: str) -> list[Any]:
        """Return the log of a job's deliveries once all have ended, oldest first."""
        deadline = time.monotonic() + SECONDS
        while True:
            page = self.ask("GET", "/v1/webhooks/deliveries?limit=200")
            found = [one for one in page["deliveries"] if one["job_id"] == job_id]
            if found and all(one["status"] == "succeeded" for one in found):
                return found[::-1]
            assert time.monotonic() < deadline, found
            time.sleep(0.1)


@pytest.fixture(scope="module")
def moody() -> Moody:
    return Moody()


@pytest.fixture(scope="module")
def receiver(moody: Moody) -> Iterator[Receiver]:
    with receiving(moody.answer) as server:
        yield server


@pytest.fixture(scope="module")
def caller(
    receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Caller]:
    data = tmp_path_factory.mktemp("ways-out")
    environment = {
        "FRAMEMILL_API_AUTH": "true",
        "FRAMEMILL_EGRESS_HTTP": "true",
        "FRAMEMILL_EGRESS_PORTS": str(receiver.port),
        "FRAMEMILL_EGRESS_PRIVATE_NETWORKS": "127.0.0.0/8",
        "FRAMEMILL_WEBHOOKS_RETRY_SECONDS": "0.3,0.3,0.3,0.3",
        "FRAMEMILL_LEASE_SWEEP_SECONDS": "0.2",
    }
    with running(data, **environment) as service:
        ports = json.loads((data / "ports.json").read_text())
        store = {"url": f"redis://127.0.0.1:{ports['store']}/0"}
        record = KeyRecord(
            id=new_key_id(), name="test", owner="anna", destinations=["theirs/films/"]
        )
        yield Caller(service, Keys.connect(Settings(store=store)).create(record))


@pytest.fixture(scope="module")
def secret(caller: Caller, receiver: Receiver) -> str:
    """Add a webhook to the key and return its secret."""
    hook = {
        "type": "webhook",
        "url": f"{receiver.url}/hook",
        "events": ["job.completed", "output.succeeded"],
    }
    return str(caller.ask("POST", "/v1/webhooks", hook)["secret"])


def test_a_receiver_that_fails_for_a_while_gets_each_event_later_and_once(
    caller: Caller, secret: str, moody: Moody
) -> None:
    moody.reset(refusals=3)
    job = caller.make()
    taken = moody.await_taken(2)
    log = caller.deliveries(job["id"])

    told = [Webhook(secret).verify(one.body, one.headers) for one in taken]
    assert sorted(one["type"] for one in told) == ["job.completed", "output.succeeded"]
    assert {one["data"]["job_id"] for one in told} == {job["id"]}
    ids = [one.headers["webhook-id"] for one in taken]
    assert len(set(ids)) == len(moody.taken) == 2
    assert {one.headers["webhook-id"] for one in moody.refused} <= set(ids)
    assert {one["message_id"] for one in log} == set(ids)
    assert sum(len(one["attempts"]) for one in log) == 2 + 3


def test_a_replay_sends_the_event_again_under_its_id(
    caller: Caller, secret: str, moody: Moody
) -> None:
    moody.reset()
    job = caller.make()
    first = moody.await_taken(2)
    (delivery,) = [
        one for one in caller.deliveries(job["id"]) if one["event"] == "job.completed"
    ]
    caller.ask("POST", f"/v1/webhooks/deliveries/{delivery['id']}/replay")
    again = moody.await_taken(3)[-1]

    document = Webhook(secret).verify(again.body, again.headers)
    assert document["data"]["job"]["status"] == "completed"
    assert again.headers["webhook-id"] == delivery["message_id"]
    assert again.headers["webhook-id"] in {one.headers["webhook-id"] for one in first}


def test_results_are_in_the_callers_bucket_when_the_job_completes(
    caller: Caller,
) -> None:
    client = caller.service.storage()
    client.create_bucket(Bucket="theirs")
    target = {"bucket": "theirs", "prefix": "films/{job_id}", "tags": {"film": "7"}}
    job = caller.make(destination={"s3": target})

    assert job["status"] == "completed", job["outputs"][0]["error"]
    (artifact,) = job["outputs"][0]["artifacts"]
    key = f"films/{job['id']}/thumbnail/{artifact['name']}"
    assert artifact["copy_at"] == {"bucket": "theirs", "key": key}
    copy = client.get_object(Bucket="theirs", Key=key)["Body"].read()
    assert hashlib.sha256(copy).hexdigest() == artifact["sha256"]
