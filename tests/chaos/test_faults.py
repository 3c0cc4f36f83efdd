"""Every kind of fault once, under load: what is posted meanwhile completes.

The long form, with each kind many times, is ``./dev chaos --minutes 30``.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.chaos.faults import KINDS, Host, NotNow
from tests.chaos.ledger import Ledger, settle
from tests.chaos.load import Client, Clips
from tests.chaos.long import Clients
from tests.chaos.service import until
from tests.tools import lack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
_TRIES = 5


@dataclass
class Scene:
    """A service under load, by two clients of its own."""

    host: Host
    client: Client
    clients: Clients


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("faults")
    clips = Clips(folder)
    with Host(folder, seconds=1.5) as host, ThreadPoolExecutor(3) as pool:
        client = Client(host.url, clips, host.storage, seconds=30)
        clients = Clients(host, client, Ledger(), seed=1, in_flight=12)
        running = [pool.submit(clients.run) for _ in range(2)]
        running.append(pool.submit(clients.watch))
        try:
            yield Scene(host, client, clients)
        finally:
            clients.stop()
        for one in running:
            one.result()


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_is_posted_then_completes(scene: Scene, kind: str) -> None:
    for _ in range(_TRIES):
        try:
            KINDS[kind](scene.host)
        except NotNow as error:
            reason = error
        else:
            break
    else:
        if kind == "disk full" and not scene.host.has_disk:
            lack(str(reason))
        pytest.fail(f"{kind}: {reason}, {_TRIES} times")

    ask = scene.client.still
    accepted = until(lambda: scene.clients.one(ask), 120, f"a job after {kind}")
    until(
        lambda: accepted.id not in scene.clients.ledger.unfinished(scene.host),
        120,
        f"the end of the job after {kind}",
    )


def test_nothing_is_lost_doubled_or_left_after_all_of_them(scene: Scene) -> None:
    scene.clients.stop()
    ledger = scene.clients.ledger
    until(lambda: not ledger.unfinished(scene.host), 300, "all jobs have ended")
    until(scene.host.whole, 120, "the service is whole")

    found = settle(scene.host, ledger)

    assert ledger.wrong == []
    assert found.bad == {}
    assert found.finished == len(ledger.accepted) > 0
