"""What is wrong with the service's own storage never ends an accepted job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import TREE
from tests.acceptance.faults.storage import OTHERS, Fault, FaultyS3, faulty_s3
from tests.acceptance.service import ENDED, HttpError, Service, artifact, started
from tests.conftest import SAMPLE
from tests.e2e.context import BUCKET, aws

STILL = [{"kind": "thumbnail", "time": 1, "width": 64}]
HOURS = 3600


@pytest.fixture(scope="module")
def s3(tree: Path, tmp_path_factory) -> Iterator[FaultyS3]:
    with faulty_s3(tmp_path_factory.mktemp("s3")) as one:
        yield one


@pytest.fixture(scope="module")
def service(s3, tmp_path_factory) -> Iterator[Service]:
    """A service whose work has one attempt: a fault that burns one is the end."""
    folder = tmp_path_factory.mktemp("service")
    settings = s3.settings | {"FRAMEMILL_LEASE_MAX_ATTEMPTS": "1"}
    with started(folder, TREE, **settings) as one:
        yield one


def reads(status: int, code: str) -> Fault:
    """Refuse what a worker asks of our bucket; uploads through the API go on."""
    return lambda method, path: (
        (status, code) if method in {"GET", "HEAD"} and BUCKET in path else None
    )


def writes(status: int, code: str) -> Fault:
    """Refuse results alone."""
    return lambda method, path: (
        (status, code) if method == "PUT" and "/out/" in path else None
    )


def until(fact: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 90
    while not (found := fact()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.2)
    return found


def waits(service: Service, job: dict[str, Any]) -> dict[str, Any] | None:
    """Return the job's document once it says what it waits for."""
    now = service.ask(f"/v1/jobs/{job['id']}").json()
    assert now["status"] not in ENDED, now["error"] or now["outputs"][0]["error"]
    return now if now.get("waiting") else None


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (reads(403, "SignatureDoesNotMatch"), "storage_denied"),
        (reads(500, "InternalError"), "storage_unavailable"),
        (writes(403, "AccessDenied"), "storage_denied"),
    ],
    ids=["keys", "500", "results"],
)
def test_a_job_waits_for_its_own_storage_and_completes(service, s3, fault, code):
    with s3.refusing(fault):
        job = service.post(SAMPLE, STILL)

        found = until(lambda: waits(service, job), "the job says what it waits for")

        assert found["waiting"]["error"]["code"] == code
        assert found["waiting"]["since"] < found["waiting"]["until"]
    ended = service.wait(job)

    assert ended["status"] == "completed", (ended["error"], ended["outputs"])
    assert ended["waiting"] is None
    assert [one["error"] for one in ended["outputs"][0]["attempts"]] == [None]
    assert len(service.fetch(artifact(ended, "thumbnail")).body) > 100


def test_readiness_names_the_storage_that_refuses_the_workers(service, s3):
    def reasons() -> str:
        try:
            return " ".join(service.ask("/readyz").json()["reasons"])
        except HttpError:  # 503: the API's own look at the storage was refused, too
            return ""

    with s3.refusing(writes(403, "AccessDenied")):
        job = service.post(SAMPLE, STILL)
        until(lambda: waits(service, job), "the job waits")
        assert "Storage refuses the service" in until(reasons, "a reason")
    service.wait(job)
    until(lambda: "refuses" not in reasons(), "the reason has gone")


def test_a_bucket_of_the_caller_that_forbids_is_the_callers(service, s3):
    aws("s3", s3.url).upload_file(str(SAMPLE), OTHERS, "clip.mp4")
    body = {"source": {"s3": {"bucket": OTHERS, "key": "clip.mp4"}}, "outputs": STILL}

    def forbids(_method: str, path: str) -> tuple[int, str] | None:
        return (403, "AccessDenied") if path.startswith(f"/{OTHERS}/clip") else None

    with s3.refusing(forbids):
        try:
            job = service.wait(service.ask("/v1/jobs", body).json())
            error = job["error"]
        except HttpError as refused:
            error = {"code": refused.body.decode()}
        assert "source_forbidden" in error["code"]
    completed = service.wait(service.ask("/v1/jobs", body).json())
    assert completed["status"] == "completed", completed["error"]


def test_with_wrong_keys_no_bucket_of_a_caller_is_to_blame(service, s3):
    aws("s3", s3.url).upload_file(str(SAMPLE), OTHERS, "clip.mp4")
    body = {"source": {"s3": {"bucket": OTHERS, "key": "clip.mp4"}}, "outputs": STILL}

    def nothing_is_allowed(method: str, _path: str) -> tuple[int, str] | None:
        return (403, "InvalidAccessKeyId") if method in {"GET", "HEAD"} else None

    with s3.refusing(nothing_is_allowed):
        job = service.ask("/v1/jobs", body).json()
        until(lambda: waits(service, job), "the job waits")
    assert service.wait(job)["status"] == "completed"


def test_a_clock_that_is_off_is_in_the_log_and_in_readiness(service, s3):
    s3.clock = HOURS

    def reason() -> str:
        told = service.ask("/readyz").json()["reasons"]
        return " ".join(one for one in told if "clock of worker" in one)

    try:
        assert "-3600 s" in until(reason, "the skew is a reason").replace(
            "-3599", "-3600"
        )
    finally:
        s3.clock = 0.0
    log = (service.data / "logs" / "worker.log").read_text()
    assert "clock.skewed" in log
    until(lambda: not reason(), "the reason has gone")
