"""What docker-compose.yml describes, started as processes, behind its proxy."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode

import pytest
import redis

from tests.chaos.service import until
from tests.conftest import ROOT, SAMPLE
from tests.deploy.composed import Composed, environment_file

LARGEST = 8_000_000
pytestmark = pytest.mark.needs("caddy", "curl")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    given = environment_file(tmp_path_factory.mktemp("clone"))
    given["PROXY_BODY_SIZE"] = str(LARGEST)
    with Composed(tmp_path_factory.mktemp("composed"), given) as one:
        yield one


@pytest.fixture(scope="module")
def key(service):
    return service.new_key()


def ask(url, *, key="", data=None, **headers):
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=90) as answer:
        return answer.status, answer.headers, answer.read()


def refusal(url, **options):
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(url, **options)
    with refused.value as answer:
        return answer.code, answer.read()


@pytest.fixture(scope="module")
def job(service, key):
    """Upload the sample as the page does, through the proxy."""
    outputs = '[{"kind":"thumbnail"},{"kind":"animation","duration":1}]'
    done = subprocess.run(
        [
            *("curl", "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {key}"),
            *("-H", "Prefer: wait=60", "-F", f"file=@{SAMPLE}"),
            *("-F", f"outputs={outputs}", f"{service.url}/v1/jobs"),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    address = f"{service.url}/v1/jobs/{json.loads(done.stdout)['id']}"

    def ended():
        job = json.loads(ask(address, key=key)[2])
        return job if job["status"] not in {"queued", "processing"} else None

    return until(ended, 240, "the job has ended")


def test_a_job_goes_through_the_proxy_and_comes_back(service, job):
    assert job["status"] == "completed", job
    for output in job["outputs"]:
        for artifact in output["artifacts"]:
            # Whoever has the link needs no key; it leads on to the storage.
            _, _, body = ask(artifact["url"])
            assert len(body) == artifact["bytes"]
            assert artifact["url"].startswith(service.url)


def test_the_users_of_the_servers_may_do_what_the_service_does(service, job):
    for name, password in (("broker", "BROKER_PASSWORD"), ("store", "STORE_PASSWORD")):
        client = service.redis(name, "framemill", password)
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command("ACL", "LOG")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.flushall()
        with pytest.raises(redis.exceptions.NoPermissionError):
            redis.Redis(port=service.ports[name]).get("a")
    # A refused command would be in a log or would have failed the job.
    for name, _ in service.children:
        assert "NOPERM" not in service.log(name)


def test_flower_is_at_its_path_for_those_with_the_password(service, job):
    address = f"{service.url}/flower/"
    user = b64encode(service.given["FLOWER_BASIC_AUTH"].encode()).decode()

    status, _, body = ask(address, Authorization=f"Basic {user}")

    def tasks():
        seen = ask(f"{address}api/tasks", Authorization=f"Basic {user}")[2]
        return {one["name"] for one in json.loads(seen).values()}

    until(lambda: "framemill.render" in tasks(), 60, "Flower has heard of the job")

    assert refusal(address)[0] == 401
    assert refusal(f"{address}api/tasks")[0] == 401
    assert status == 200
    # Its own links stay below the path.
    assert set(re.findall(rb'(?:href|src)="(/\w+)/', body)) == {b"/flower"}


def test_a_caller_cannot_say_that_it_is_somebody_else(service, key):
    # The API believes one proxy, and that one replaces what the caller sent.
    ask(
        f"{service.url}/v1/jobs?limit=1",
        key=key,
        **{"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "evil.test"},
    )

    _, _, page = ask(f"{service.url}/openapi.json", **{"X-Forwarded-Host": "evil.test"})

    assert b"evil.test" not in page
    assert "203.0.113.9" not in service.log("api")


def test_the_proxy_ends_a_body_that_is_larger_than_any_that_is_allowed(
    service, key, tmp_path
):
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(LARGEST + 1_000_000))

    done = subprocess.run(
        [
            *("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}"),
            *("-H", f"Authorization: Bearer {key}", "-H", "Expect:"),
            *("-F", f"file=@{large}", f"{service.url}/v1/jobs"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.stdout == "413", done


def test_what_the_api_refuses_comes_with_its_own_words(service, key):
    body = b'{"outputs": [' + b" " * 1_000_000 + b"]}"
    options = {"data": body, "key": key, "Content-Type": "application/json"}

    status, problem = refusal(f"{service.url}/v1/jobs", **options)

    assert status == 413
    assert json.loads(problem)["code"]


def test_a_head_that_never_ends_is_cut_off(service):
    with socket.create_connection(("127.0.0.1", service.proxy["address"])) as slow:
        slow.settimeout(60)
        slow.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        assert slow.recv(4096) == b""


@pytest.mark.parametrize("role", ["worker", "reaper"])
def test_the_health_checks_of_the_parts_without_a_port_pass(service, role):
    name = {"worker": "worker-fast", "reaper": "reaper"}[role]
    done = subprocess.run(
        [sys.executable, "-m", "worker.alive", role],
        cwd=ROOT,
        env=service.environment(name),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr


def test_workers_end_by_themselves_within_their_grace(service):
    name, child = next(one for one in service.children if one[0] == "worker-slow")

    child.terminate()

    assert child.wait(60) == 0, service.log(name)
