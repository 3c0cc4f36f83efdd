"""The queue: one message a task, and nobody waits for the broker."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self

import pytest
import redis

from common.jobs.queue import (
    BackgroundQueue,
    CeleryDispatcher,
    RecordingDispatcher,
    celery_app,
)
from common.model import Message
from common.settings.load import Settings
from tests.common import valkey
from tests.ports import free_port
from tests.timing import quickest

MESSAGE = Message("j:prepare", "prepare", "fast")
SLOW = Message("j:o:gif", "render", "slow")


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


class ReadCount:
    """Counts the reads that the server makes of its clients during the block."""

    def __init__(self, server: redis.Redis) -> None:
        self._server = server
        self.number = 0

    def __enter__(self) -> Self:
        self._before = self._reads()
        return self

    def __exit__(self, *_: object) -> None:
        self.number = self._reads() - self._before

    def _reads(self) -> int:
        return int(self._server.info("stats")["total_reads_processed"])


def messages(broker: redis.Redis, queue: str = "fast") -> list[Any]:
    found: Any = broker.lrange(queue, 0, -1)
    return [json.loads(one) for one in reversed(found)]


def test_messages_are_heard_in_the_order_of_their_ringing(
    dispatcher: CeleryDispatcher, broker: redis.Redis
) -> None:
    dispatcher.enqueue([Message(f"p{n}", "prepare", "fast") for n in range(3)])
    told = [one["headers"]["argsrepr"] for one in messages(broker)]
    assert told == ["['p0']", "['p1']", "['p2']"]
    assert dispatcher.backlog() == {"fast": 3, "slow": 0}


def test_messages_of_one_call_go_by_one_write_to_the_broker(
    dispatcher: CeleryDispatcher, broker: redis.Redis
) -> None:
    dispatcher.enqueue([MESSAGE])
    with ReadCount(broker) as reads:
        dispatcher.enqueue([MESSAGE] * 20)
    assert broker.llen("fast") == 21
    assert reads.number < 5


def test_a_connection_that_the_broker_closed_loses_no_message(
    dispatcher: CeleryDispatcher, broker: redis.Redis
) -> None:
    dispatcher.enqueue([MESSAGE])
    broker.client_kill_filter(_type="normal", skipme=True)
    dispatcher.enqueue([MESSAGE] * 3)
    assert broker.llen("fast") == 4
    assert dispatcher.failures == 0


def test_more_threads_than_kombu_has_connections_may_ring(
    dispatcher: CeleryDispatcher, broker: redis.Redis
) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: dispatcher.enqueue([MESSAGE]), range(160)))
    assert dispatcher.failures == 0
    assert broker.llen("fast") == 160


def test_a_broker_that_is_away_delays_nobody() -> None:
    dispatcher = dispatcher_of(f"redis://127.0.0.1:{free_port()}/0")
    assert quickest(lambda: dispatcher.enqueue([MESSAGE, MESSAGE])) < 1
    assert dispatcher.failures == 2 * 5


def test_a_broker_that_comes_back_is_sent_again(tmp_path: Path) -> None:
    port = free_port()
    dispatcher = dispatcher_of(f"redis://127.0.0.1:{port}/0")
    with valkey.running(tmp_path, port=port):
        dispatcher.enqueue([MESSAGE])
    dispatcher.enqueue([MESSAGE])
    with valkey.running(tmp_path, port=port) as (url, _):
        dispatcher.enqueue([MESSAGE])
        assert redis.Redis.from_url(url).llen("fast") == 1
    assert dispatcher.failures == 1


class Stalled(RecordingDispatcher):
    """Rings when it is let, and says so."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.let = threading.Event(), threading.Event()
        self.calls: list[list[Message]] = []
        self.alternative = threading.Semaphore(0)

    def enqueue(self, messages: Iterable[Message]) -> None:
        self.calls.append(list(messages))
        self.entered.set()
        assert self.let.wait(60)
        self.alternative.release()


def test_who_rings_aside_waits_for_nobody_and_rings_together() -> None:
    stalled = Stalled()
    background = BackgroundQueue(stalled)
    background.enqueue([MESSAGE])
    assert stalled.entered.wait(60)
    background.enqueue([SLOW])
    background.enqueue([MESSAGE])
    stalled.let.set()
    assert stalled.alternative.acquire(timeout=60)
    assert stalled.alternative.acquire(timeout=60)
    assert stalled.calls == [[MESSAGE], [MESSAGE, SLOW]]


def test_a_process_that_ends_rings_for_what_it_holds() -> None:
    stalled = Stalled()
    stalled.let.set()
    background = BackgroundQueue(stalled)
    background._waiting.append(MESSAGE)
    background._flush()
    assert stalled.calls == [[MESSAGE]]


def test_what_one_message_raises_does_not_silence_the_next() -> None:
    class Failing(RecordingDispatcher):
        first = True
        raised, heard = threading.Event(), threading.Event()

        def enqueue(self, messages: Iterable[Message]) -> None:
            if self.first:
                self.first = False
                self.raised.set()
                raise RuntimeError("a defect")
            super().enqueue(messages)
            self.heard.set()

    failing = Failing()
    background = BackgroundQueue(failing)
    background.enqueue([MESSAGE])
    assert failing.raised.wait(60)
    background.enqueue([SLOW])
    assert failing.heard.wait(60)


@pytest.mark.parametrize("role", ["worker", "client"])
def test_an_idle_worker_reads_for_less_than_the_timeout_and_nothing_is_repeated(
    role: Literal["worker", "client"], valkey_url: str
) -> None:
    app = celery_app(Settings(broker={"url": valkey_url}), role)
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        # redis-py's defaults would cut a longer BRPOP off, and repeat a command.
        made = channel.client.connection_pool.make_connection()
        assert 0 < channel.brpop_timeout < made.socket_timeout
        assert made.retry._retries == 0


def test_a_message_holds_the_id_of_its_task_and_nothing_else_of_the_job(
    broker: redis.Redis, dispatcher: CeleryDispatcher
) -> None:
    dispatcher.enqueue([MESSAGE])

    (text,) = broker.lrange("fast", 0, -1)
    message = json.loads(text)
    arguments, named, _ = json.loads(base64.b64decode(message["body"]))
    assert (arguments, named) == ([MESSAGE.task], {})
    # What Flower shows of a task comes from here.
    assert message["headers"]["argsrepr"] == repr([MESSAGE.task])
    assert message["headers"]["kwargsrepr"] == "{}"
