"""Doorbells: one message each, and nobody who waits for a broker."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from common.jobs.queue import Aside, CeleryDispatcher, RecordingDispatcher, celery_app
from common.model import Bell
from common.settings.load import Settings
from tests.common import valkey
from tests.ports import free_port
from tests.timing import quickest

BELL = Bell("j:prepare", "prepare", "fast")
SLOW = Bell("j:o:gif", "render", "slow")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[redis.Redis]:
    with valkey.running(tmp_path) as (url, _):
        yield redis.Redis.from_url(url, decode_responses=True)


@pytest.fixture
def dispatcher(broker: redis.Redis) -> CeleryDispatcher:
    port = broker.connection_pool.connection_kwargs["port"]
    return dispatcher_of(f"redis://127.0.0.1:{port}/0")


def dispatcher_of(url: str) -> CeleryDispatcher:
    return CeleryDispatcher(celery_app(Settings(broker={"url": url}), "client"))


def messages(broker: redis.Redis, queue: str = "fast") -> list[Any]:
    found: Any = broker.lrange(queue, 0, -1)
    return [json.loads(one) for one in reversed(found)]


def test_bells_are_heard_in_the_order_of_their_ringing(
    dispatcher: CeleryDispatcher, broker: redis.Redis
) -> None:
    dispatcher.ring([Bell(f"p{n}", "prepare", "fast") for n in range(3)])
    told = [one["headers"]["argsrepr"] for one in messages(broker)]
    assert told == ["['p0']", "['p1']", "['p2']"]
    assert dispatcher.backlog() == {"fast": 3, "slow": 0}


def test_more_threads_than_kombu_has_connections_may_ring(
    dispatcher: CeleryDispatcher, broker: redis.Redis
) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: dispatcher.ring([BELL]), range(160)))
    assert dispatcher.failures == 0
    assert broker.llen("fast") == 160


def test_a_broker_that_is_away_delays_nobody() -> None:
    dispatcher = dispatcher_of(f"redis://127.0.0.1:{free_port()}/0")
    assert quickest(lambda: dispatcher.ring([BELL, BELL])) < 1
    assert dispatcher.failures == 2 * 5


def test_a_broker_that_comes_back_is_rung_again(tmp_path: Path) -> None:
    port = free_port()
    dispatcher = dispatcher_of(f"redis://127.0.0.1:{port}/0")
    with valkey.running(tmp_path, port=port):
        dispatcher.ring([BELL])
    dispatcher.ring([BELL])
    with valkey.running(tmp_path, port=port) as (url, _):
        dispatcher.ring([BELL])
        assert redis.Redis.from_url(url).llen("fast") == 1
    assert dispatcher.failures == 1


class Stalled(RecordingDispatcher):
    """Rings when it is let, and says so."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.let = threading.Event(), threading.Event()
        self.calls: list[list[Bell]] = []
        self.rung = threading.Semaphore(0)

    def ring(self, bells: Iterable[Bell]) -> None:
        self.calls.append(list(bells))
        self.entered.set()
        assert self.let.wait(60)
        self.rung.release()


def test_who_rings_aside_waits_for_nobody_and_rings_together() -> None:
    stalled = Stalled()
    aside = Aside(stalled)
    aside.ring([BELL])
    assert stalled.entered.wait(60)
    aside.ring([SLOW])
    aside.ring([BELL])
    stalled.let.set()
    assert stalled.rung.acquire(timeout=60)
    assert stalled.rung.acquire(timeout=60)
    assert stalled.calls == [[BELL], [BELL, SLOW]]


def test_a_process_that_ends_rings_for_what_it_holds() -> None:
    stalled = Stalled()
    stalled.let.set()
    aside = Aside(stalled)
    aside._waiting.append(BELL)
    aside._flush()
    assert stalled.calls == [[BELL]]


def test_what_one_bell_raises_does_not_silence_the_next() -> None:
    class Failing(RecordingDispatcher):
        first = True
        raised, heard = threading.Event(), threading.Event()

        def ring(self, bells: Iterable[Bell]) -> None:
            if self.first:
                self.first = False
                self.raised.set()
                raise RuntimeError("a defect")
            super().ring(bells)
            self.heard.set()

    failing = Failing()
    aside = Aside(failing)
    aside.ring([BELL])
    assert failing.raised.wait(60)
    aside.ring([SLOW])
    assert failing.heard.wait(60)
