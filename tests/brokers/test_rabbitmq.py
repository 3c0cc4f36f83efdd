"""RabbitMQ as the broker: the main job, queue lengths, and a server that is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import Unavailable
from common.jobs.queue import CeleryDispatcher, celery_app
from common.model import Message
from common.settings.load import Settings
from tests.brokers import flower, rabbitmq
from tests.brokers.rabbitmq import RabbitMQ, seconds_of
from tests.chaos.service import Service, until
from tests.conftest import SAMPLE
from tests.e2e.context import assert_pictures

THUMBNAIL = [{"kind": "thumbnail"}]
BOTH = [{"kind": "thumbnail"}, {"kind": "animation", "format": "gif", "width": 160}]
MESSAGES = [Message("a", "prepare", "fast"), Message("b", "render", "slow")]
# A busy machine may take longer than the service would wait for its store.
PATIENT = {"FRAMEMILL_STORE_TIMEOUT_SECONDS": "30"}

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with rabbitmq.running(tmp_path_factory.mktemp("rabbit") / "mq") as server:
        yield server


@pytest.fixture
def vhost(rabbit: RabbitMQ, request: pytest.FixtureRequest) -> str:
    """Return the URL of a virtual host that nobody else uses."""
    name = request.node.name.split("[")[0][:40]
    rabbit.control("add_vhost", name)
    rabbit.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    return f"{rabbit.url.removesuffix('/')}{name}"


def dispatcher_of(url: str) -> CeleryDispatcher:
    return CeleryDispatcher(celery_app(Settings(broker={"url": url}), "client"))


def test_each_queue_tells_how_many_messages_wait(vhost: str) -> None:
    dispatcher = dispatcher_of(vhost)
    assert dispatcher.backlog() == {"fast": 0, "slow": 0}, "a queue that was not there"

    dispatcher.enqueue([*MESSAGES, MESSAGES[0]])
    assert dispatcher.backlog() == {"fast": 2, "slow": 1}
    dispatcher.check()
    assert dispatcher.backlog() == {"fast": 2, "slow": 1}, "a check leaves nothing"


def test_a_connection_that_rabbitmq_closed_loses_no_message(
    vhost: str, rabbit: RabbitMQ
) -> None:
    dispatcher = dispatcher_of(vhost)
    dispatcher.enqueue(MESSAGES)
    rabbit.control("close_all_connections", "a test")

    dispatcher.enqueue(MESSAGES)
    assert dispatcher.failures == 0
    assert dispatcher.backlog() == {"fast": 2, "slow": 2}


def test_a_rabbitmq_without_memory_is_told_of_and_delays_for_seconds_only(
    vhost: str, rabbit: RabbitMQ
) -> None:
    dispatcher = dispatcher_of(vhost)
    dispatcher.enqueue(MESSAGES)
    rabbit.control("set_vm_memory_high_watermark", "0.00000001")
    try:
        until(lambda: "memory" in _alarms(rabbit), 30, "an alarm is raised")
        with pytest.raises(Unavailable, match="the broker did not answer"):
            dispatcher.check()
        # Two tries, each of at most two seconds for a read, and as many to close.
        assert seconds_of(lambda: dispatcher.enqueue(MESSAGES)) < 15
        assert dispatcher.failures == 2
    finally:
        rabbit.control("set_vm_memory_high_watermark", "0.4")
    until(lambda: _takes(dispatcher), 30, "RabbitMQ takes messages again")


def _alarms(rabbit: RabbitMQ) -> str:
    return rabbit.control("eval", "rabbit_alarm:get_alarms().")


def _takes(dispatcher: CeleryDispatcher) -> bool:
    try:
        dispatcher.check()
    except Unavailable:
        return False
    return True


def test_the_main_job_runs_and_a_killed_rabbitmq_delays_jobs_and_loses_none(
    tmp_path: Path,
) -> None:
    with (
        rabbitmq.running(tmp_path / "mq") as server,
        Service(tmp_path, **PATIENT, FRAMEMILL_BROKER_URL=server.url) as service,
    ):
        with flower.running(service, tmp_path) as seen:
            assert_pictures(service, service.submit(SAMPLE, BOTH))
            seen.await_task()
        assert not service.broker.dbsize(), "Redis carried messages"

        server.kill()
        waiting = [service.submit(SAMPLE, THUMBNAIL) for _ in range(3)]
        reasons = service.get("/readyz")["reasons"]
        assert any("the broker did not answer" in reason for reason in reasons)
        server.start()
        for job in waiting:
            assert_pictures(service, job)
        until(
            lambda: service.get("/readyz")["status"] == "ok", 60, "the service is whole"
        )
