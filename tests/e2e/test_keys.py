"""Keys at the running service: whose things are whose, and one job for one key."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from api.openapi import document as openapi
from tests.chaos.service import Service, until
from tests.conftest import SAMPLE
from tests.e2e.context import THUMBNAIL, await_job
from tests.worker.context import SECRET

AT_ONCE = 100
TUS = {"Tus-Resumable": "1.0.0"}
OFFSET = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
BATCH = {"sources": [{"s3": {"bucket": "framemill", "key": "in/none.mp4"}}]}
BODIES: dict[str, dict[str, Any]] = {
    "patchTus": {"data": b"x", "headers": TUS | OFFSET},
    "headTus": {"headers": TUS},
    "endTus": {"headers": TUS},
}
# These links are signed and need no key: see tests/api/files and tests/api/shares.
# A URL of an image on request is signed; tests/api/render has who may ask.
OPEN = ("/v1/files/", "/s/", "/v1/render/")
# These need the scope admin, which neither key has.
OPERATORS = "/v1/operations/"


@dataclass
class Caller:
    """One API key's view of the service."""

    service: Service
    token: str

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        return requests.request(
            method, self.service.url + path, headers=headers, timeout=60, **more
        )

    def post(self, path: str, status: int, **more: Any) -> requests.Response:
        answer = self.ask("POST", path, **more)
        assert answer.status_code == status, answer.text
        return answer

    def submit(self, **more: Any) -> str:
        fields = {"outputs": json.dumps(THUMBNAIL), **more}
        with SAMPLE.open("rb") as file:
            answer = self.post("/v1/jobs", 202, files={"file": file}, data=fields)
        return answer.json()["id"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    given = {
        "FRAMEMILL_API_AUTH": "true",
        "FRAMEMILL_WEBHOOKS_SECRET": SECRET,
        "FRAMEMILL_WEBHOOKS_RETRY_SECONDS": "600",
    }
    with Service(tmp_path_factory.mktemp("keys"), **given) as running:
        yield running


def caller(service: Service, name: str, *scopes: str) -> Caller:
    words = [word for scope in scopes for word in ("--scope", scope)]
    return Caller(service, service.command("keys", "create", name, *words).strip())


@pytest.fixture(scope="module")
def anna(service: Service) -> Caller:
    return caller(service, "anna", "submit", "read")


@pytest.fixture(scope="module")
def bob(service: Service) -> Caller:
    return caller(service, "bob", "submit", "read")


@pytest.fixture
def ids(anna: Caller) -> dict[str, str]:
    """Return one thing of Anna's for each kind of id in the API's addresses."""
    hook = {"type": "webhook", "url": "https://localhost/", "events": ["job.accepted"]}
    job = anna.submit(notify=json.dumps([hook]))
    await_job(anna.service, job, anna.token)

    def found() -> str | None:
        page = anna.ask("GET", "/v1/webhooks/deliveries").json()["deliveries"]
        (one,) = [
            one
            for one in page
            if (one["job_id"], one["event"]) == (job, "job.accepted")
        ]
        return one["id"] if one["status"] == "failed" else None

    told = {"type": "webhook", "url": "https://localhost/"}
    webhook = anna.post("/v1/webhooks", 201, json=told).json()["id"]
    tus = anna.post("/v1/tus", 201, headers=TUS | {"Upload-Length": "5"})
    return {
        "job_id": job,
        "task_id": f"{job}:prepare",
        "batch_id": anna.post("/v1/batches", 202, json=BATCH).json()["id"],
        "webhook_id": webhook,
        "delivery_id": until(found, 120, "the delivery has failed"),
        "upload_id": anna.post("/v1/uploads", 201, json={"size": 5}).json()["id"],
        "tus": tus.headers["Location"].rpartition("/")[2],
    }


def operations() -> list[tuple[str, str, str]]:
    """Return name, method and address of each operation on one thing of somebody's."""
    return [
        (operation["operationId"], method.upper(), path)
        for path, item in openapi.document()["paths"].items()
        for method, operation in item.items()
        if "{" in path and "operationId" in operation and not path.startswith(OPEN)
    ]


def address(path: str, ids: dict[str, str]) -> str:
    if path.startswith("/v1/tus/"):
        ids = ids | {"upload_id": ids["tus"]}
    return path.format(**ids)


def test_all_that_is_another_keys_is_404(
    anna: Caller, bob: Caller, ids: dict[str, str]
) -> None:
    told = {
        name: bob.ask(method, address(path, ids), **BODIES.get(name, {})).status_code
        for name, method, path in operations()
    }
    seen = {
        name: anna.ask(method, address(path, ids), **BODIES.get(name, {})).status_code
        for name, method, path in operations()
        if method in {"GET", "HEAD"}
    }

    operators = [name for name, _, path in operations() if path.startswith(OPERATORS)]
    assert {told.pop(name) for name in operators} == {403}
    assert len(told) >= 13
    assert set(told.values()) == {404}, told
    assert 404 not in seen.values(), seen


def test_what_another_key_asks_for_changes_nothing(
    anna: Caller, bob: Caller, ids: dict[str, str]
) -> None:
    for name, method, path in operations():
        bob.ask(method, address(path, ids), **BODIES.get(name, {}))

    job = anna.ask("GET", f"/v1/jobs/{ids['job_id']}").json()
    head = anna.ask("HEAD", f"/v1/tus/{ids['tus']}", headers=TUS)
    assert job["status"] == "completed"
    assert head.headers["Upload-Offset"] == "0"
    assert anna.ask("GET", f"/v1/uploads/{ids['upload_id']}").status_code == 200


def test_lists_hold_only_the_keys_own(
    anna: Caller, bob: Caller, ids: dict[str, str]
) -> None:
    lists = {
        "/v1/jobs": "jobs",
        "/v1/batches": "batches",
        "/v1/webhooks": "webhooks",
        "/v1/webhooks/deliveries": "deliveries",
    }
    for path, name in lists.items():
        mine = {one["id"] for one in bob.ask("GET", path).json()[name]}
        hers = {one["id"] for one in anna.ask("GET", path).json()[name]}
        assert hers
        assert not mine & hers


def test_another_keys_upload_and_job_are_no_sources(
    bob: Caller, ids: dict[str, str]
) -> None:
    for kind, name in (("job", "job_id"), ("upload", "upload_id")):
        answer = bob.ask("POST", "/v1/jobs", json={"source": {kind: ids[name]}})
        assert answer.status_code in {404, 422}, answer.text
        assert f"no such {kind}" in answer.text or "there is no" in answer.text


@pytest.mark.parametrize("form", ["json", "multipart"])
def test_a_hundred_posts_at_once_with_one_idempotency_key_make_one_job(
    service: Service, form: str
) -> None:
    who = caller(service, f"hundred-{form}", "submit", "read")
    clip = SAMPLE.read_bytes()
    source = {"s3": {"bucket": "framemill", "key": "in/none.mp4"}}
    outputs = json.dumps(THUMBNAIL)
    requested: dict[str, Any] = (
        {"json": {"source": source, "outputs": THUMBNAIL}}
        if form == "json"
        else {"files": {"file": ("c.mp4", clip)}, "data": {"outputs": outputs}}
    )
    key = {"Idempotency-Key": f"the one of {form}"}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(
            pool.map(
                lambda _: who.ask("POST", "/v1/jobs", headers=key, **requested),
                range(AT_ONCE),
            )
        )

    assert Counter(one.status_code for one in answers) == {202: AT_ONCE}
    (job,) = {one.json()["id"] for one in answers}
    assert [one["id"] for one in who.ask("GET", "/v1/jobs").json()["jobs"]] == [job]
    await_job(service, job, who.token)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/uploads", {"size": 5, "job": {}}, 201),
        ("/v1/batches", BATCH, 202),
    ],
)
def test_a_hundred_posts_at_once_with_one_idempotency_key_make_one_of_anything(
    service: Service, path: str, body: dict[str, Any], status: int
) -> None:
    who = caller(service, "hundred" + path.replace("/", "-"), "submit", "read")
    key = {"Idempotency-Key": "the one"}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(
            pool.map(
                lambda _: who.ask("POST", path, headers=key, json=body), range(AT_ONCE)
            )
        )

    assert Counter(one.status_code for one in answers) == {status: AT_ONCE}
    assert len({one.json()["id"] for one in answers}) == 1


def test_the_same_idempotency_key_is_another_in_another_keys_hands(
    anna: Caller, bob: Caller
) -> None:
    key = {"Idempotency-Key": "both of us"}
    requested = {"json": {"source": {"s3": {"bucket": "framemill", "key": "x"}}}}

    jobs = {
        one.post("/v1/jobs", 202, headers=key, **requested).json()["id"]
        for one in (anna, bob)
    }

    assert len(jobs) == 2
