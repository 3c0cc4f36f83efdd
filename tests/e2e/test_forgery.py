"""Addresses of callers, through the API and a real worker: none reaches the canary.

The canary listens on loopback, IPv4 and IPv6, at a port that is allowed. 127.0.0.3
alone is an allowed address: there is the server that redirects.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.chaos.service import Service, until
from tests.conftest import SAMPLE
from tests.e2e.context import THUMBNAIL, await_job
from tests.worker.context import SECRET
from tests.worker.receiver import Reply, Request, receiving
from tests.worker.source.bad_urls import BAD_URLS

HOOKS_PER_JOB = 10
NAMED = [f"http://{name}.test:{{p}}/" for name in ("loop", "both", "six", "mapped")]
REBINDING = "http://rebind.test:{p}/"
ODD_PORT = "http://127.0.0.3:{odd}/"
URLS = [*BAD_URLS, *NAMED, ODD_PORT]
# Where the server that may be asked sends a source's reader.
PLACES = [
    "http://127.0.0.1:{p}/",
    "http://[::1]:{p}/",
    "http://2130706433:{p}/",
    "//0.0.0.0:{p}/",
    "http://loop.test:{p}/",
    "http://both.test:{p}/",
    "http://user@127.0.0.1:{p}/",
    ODD_PORT,
    REBINDING,
]


class Canary:
    """Counts who comes to loopback, and gives them the sample."""

    def __init__(self) -> None:
        self.port = 0
        self.odd = 0
        self.hits = 0

    def fill(self, url: str) -> str:
        return url.replace("{p}", str(self.port)).replace("{odd}", str(self.odd))

    def serve(self, listener: socket.socket) -> None:
        clip = SAMPLE.read_bytes()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(clip)}\r\n\r\n".encode()
        with suppress(OSError):  # the listener is closed at the end
            while True:
                link, _ = listener.accept()
                self.hits += 1
                with link, suppress(OSError):
                    link.recv(65536)
                    link.sendall(head + clip)


@contextmanager
def watching() -> Iterator[Canary]:
    canary = Canary()
    with ExitStack() as stack:
        for address in ("127.0.0.1", "::1", "127.0.0.3"):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            port = 0 if address == "127.0.0.3" else canary.port
            listener = socket.create_server((address, port), family=family)
            stack.callback(listener.close)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            number = listener.getsockname()[1]
            if address == "127.0.0.3":
                canary.odd = number
            else:
                canary.port = number
            threading.Thread(target=canary.serve, args=(listener,), daemon=True).start()
        yield canary


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    with watching() as one:
        yield one


@pytest.fixture(scope="module")
def redirecting(canary: Canary) -> Iterator[str]:
    def answer(request: Request) -> Reply:
        place = PLACES[int(request.path.strip("/"))]
        return Reply(302, {"Location": canary.fill(place)})

    with receiving(answer, host="127.0.0.3") as server:
        yield server.url


@pytest.fixture(scope="module")
def service(
    canary: Canary, redirecting: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    port = redirecting.rpartition(":")[2]
    given = {
        "FRAMEMILL_SOURCE_URLS": "true",
        "FRAMEMILL_EGRESS_HTTP": "true",
        "FRAMEMILL_EGRESS_PORTS": f"443,{canary.port},{port}",
        "FRAMEMILL_EGRESS_PRIVATE_NETWORKS": "127.0.0.3/32",
        "FRAMEMILL_WEBHOOKS_SECRET": SECRET,
        "FRAMEMILL_WEBHOOKS_RETRY_SECONDS": "0.2",
        "PYTHONPATH": str(Path(__file__).parent / "resolver"),
    }
    with Service(tmp_path_factory.mktemp("forgery"), **given) as running:
        yield running


def submit(service: Service, **body: Any) -> requests.Response:
    body = {"outputs": THUMBNAIL, **body}
    return requests.post(f"{service.url}/v1/jobs", json=body, timeout=60)


def codes_of_sources(service: Service, urls: list[str]) -> set[str]:
    """Return the codes that sources end with, from the API or from the worker."""
    answers = [submit(service, source={"url": url}) for url in urls]
    taken = [one.json()["id"] for one in answers if one.status_code == 202]
    assert taken, "some pass the API and are the worker's to refuse"
    assert {one.status_code for one in answers} <= {202, 422}
    ended = [await_job(service, job)["error"] for job in taken]
    return {(error or {"code": "none"})["code"] for error in ended}


def test_no_source_reaches_the_canary(service: Service, canary: Canary) -> None:
    urls = [canary.fill(url) for url in URLS]

    codes = codes_of_sources(service, urls)

    assert len(urls) > 60
    assert codes == {"address_refused"}
    assert canary.hits == 0


def test_a_name_that_turns_to_the_canary_is_refused(
    service: Service, canary: Canary, redirecting: str
) -> None:
    """The first answer leads to the server that redirects to the same name again."""
    port = redirecting.rpartition(":")[2]
    url = f"http://rebind.test:{port}/{PLACES.index(REBINDING)}"

    codes = codes_of_sources(service, [url] * 5)

    assert codes == {"address_refused"}
    assert canary.hits == 0


def test_no_redirect_of_a_source_leads_to_the_canary(
    service: Service, canary: Canary, redirecting: str
) -> None:
    urls = [f"{redirecting}/{number}" for number in range(len(PLACES))]

    codes = codes_of_sources(service, urls)

    assert codes == {"address_refused"}
    assert canary.hits == 0


def deliveries(service: Service, job: str) -> list[dict[str, Any]]:
    answer = requests.get(
        f"{service.url}/v1/webhooks/deliveries", {"limit": 200}, timeout=20
    )
    found = answer.json()["deliveries"]
    return [one for one in found if one["job_id"] == job]


def hooked(service: Service, urls: list[str]) -> list[str]:
    """Submit a job with these webhooks; gives the codes that they end with."""
    hooks = [{"type": "webhook", "url": u, "events": ["job.accepted"]} for u in urls]
    answer = submit(service, source={"url": "https://127.0.0.1/"}, notify=hooks)
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]

    def ended() -> list[dict[str, Any]] | None:
        found = deliveries(service, job)
        states = {one["status"] for one in found}
        return found if states <= {"failed", "succeeded"} and found else None

    found = until(ended, 120, "the deliveries have ended")
    assert len(found) == len(urls)
    return [(one["error"] or {"code": "none"})["code"] for one in found]


def passes(service: Service, url: str) -> bool:
    """Return whether the API takes a webhook, whose address the worker then judges."""
    hook = {"type": "webhook", "url": url, "events": ["job.cancelled"]}
    answer = submit(service, source={"url": "https://127.0.0.1/"}, notify=[hook])
    assert answer.status_code in {202, 422}, answer.text
    return answer.status_code == 202


def test_no_webhook_reaches_the_canary(
    service: Service, canary: Canary, redirecting: str
) -> None:
    urls = [canary.fill(url) for url in (*URLS, REBINDING)]
    taken = [url for url in urls if passes(service, url)]

    # REBINDING's first answer is allowed, where nobody listens: tried again, refused.
    codes = []
    for at in range(0, len(taken), HOOKS_PER_JOB):
        codes += hooked(service, taken[at : at + HOOKS_PER_JOB])
    redirects = hooked(service, [f"{redirecting}/{n}" for n in range(len(PLACES))])

    names = {canary.fill(url) for url in (*NAMED, REBINDING)}
    assert names <= set(taken), "these are the worker's to refuse"
    assert not [url for url in taken if re.search(r"//[^/]*(\d\.\d|\[)", url)]
    assert len(urls) - len(taken) > 40, "these the API refuses"
    assert set(codes) <= {"address_refused", "unreachable"}
    assert set(redirects) == {"receiver_error"}, "a redirect is no acceptance"
    assert canary.hits == 0


def test_where_the_network_is_allowed_the_canary_is_reached(
    service: Service, canary: Canary
) -> None:
    service.environment["FRAMEMILL_EGRESS_PRIVATE_NETWORKS"] = "127.0.0.0/8,::1/128"
    for part in ("api", "worker"):
        service.restart(part)
    service.await_ready()
    url = canary.fill("http://loop.test:{p}/")

    job = await_job(service, submit(service, source={"url": url}).json()["id"])
    codes = hooked(service, [url])

    assert job["status"] == "completed", job["error"]
    assert codes == ["none"]
    assert canary.hits == 2
